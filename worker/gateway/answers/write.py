"""From a result to the bytes of the answer. Written by hand: it is mostly one long array, of which there is no need to
make sixty thousand Python numbers first."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from worker.gateway.answers import label_maps
from worker.types import Result

_AT_ONCE_PIXELS = 2**20


@dataclass(frozen=True, slots=True)
class Form:
    """How a client wants its answer; see `schemas.InspectRequest`."""

    log_id: str
    in_image_size: bool
    encoding: str
    visualize: bool


def is_written_at_once(result: Result, form: Form) -> bool:
    """Whether `write` takes less time than handing it to another thread does."""
    assert result.size is not None
    return not form.in_image_size and _pixels(result.size) <= _AT_ONCE_PIXELS and _is_empty(result)


def write(result: Result, form: Form) -> bytes:
    """The body of the answer to a frame that is OK or NG."""
    size, label_map, picture = _drawn(result, form)
    image = b'"image":%b,' % picture if picture else b""
    tail = {
        "score": result.score,
        "threshold": result.threshold,
        "verdict": result.verdict.value,
        "regions": [asdict(region) for region in result.regions],
        "frame": result.frame,
    }
    return b'{"logId":%b,"errorCode":0,"errorMsg":"Success","result":{"labelMap":%b,"size":[%d,%d],%b%b}' % (
        json.dumps(form.log_id).encode(),
        label_map,
        *size,
        image,
        json.dumps(tail, separators=(",", ":"), allow_nan=False)[1:].encode(),
    )


def _drawn(result: Result, form: Form) -> tuple[tuple[int, int], bytes, bytes]:
    """The labelMap's size, (H, W), the labelMap and the picture of it, both as JSON."""
    assert result.size is not None
    assert result.image_size is not None
    size = result.image_size if form.in_image_size else result.size
    if _is_empty(result):
        return size, label_maps.EMPTY[form.encoding](size), label_maps.empty_picture(size) if form.visualize else b""
    mask = label_maps.decode(result.label_map)
    if size != result.size:
        mask = label_maps.scaled(mask, size)
    return size, label_maps.ENCODERS[form.encoding](mask), label_maps.as_picture(mask) if form.visualize else b""


def _is_empty(result: Result) -> bool:
    assert result.size is not None
    return label_maps.is_empty(result.label_map, result.size)


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]
