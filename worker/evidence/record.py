"""What is kept of one frame: the picture as it came, what was found on it, and the result."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from worker.errors import ImageError
from worker.evidence.layout import ENDINGS, JSON, LABEL_MAP, OVERLAY, RAW
from worker.inference.decode import decode
from worker.inference.pictures import encoded, overlay
from worker.settings import LimitSettings
from worker.types import Encoding, Frame, Result

_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True, slots=True)
class Record:
    """A frame, its result as it was committed, and when (unix nanoseconds)."""

    frame: Frame
    result: Result
    at: int

    @property
    def size(self) -> int:
        """Bytes that it holds in memory."""
        return len(self.frame.data) + len(self.result.label_map)


def contents(record: Record, line: str, limits: LimitSettings) -> dict[str, bytes]:
    """The record's files by their endings, the JSON last.

    The frame's bytes are kept as they came. A raw encoding becomes a PNG of the same pixels, or stays `raw` where it
    has not the bytes that its size needs, as a frame may that was too late to be looked at.
    """
    frame, result = record.frame, record.result
    ending, picture = _picture(frame)
    files = {ending: picture}
    if result.label_map:
        with suppress(ImageError, ValueError, cv2.error):  # then without: what was found is in the other files
            files[OVERLAY] = _overlay(frame, result, limits)
        files[LABEL_MAP] = result.label_map
    return files | {JSON: _as_json(record, line, files)}


def _picture(frame: Frame) -> tuple[str, bytes]:
    channels = frame.encoding.raw_channels
    if not channels:
        return ENDINGS[frame.encoding], frame.data
    if len(frame.data) != frame.width * frame.height * channels or not frame.data:
        return RAW, frame.data
    pixels: npt.NDArray[Any] = np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, channels)
    if frame.encoding is Encoding.RGB8:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    try:
        done, data = cv2.imencode(".png", pixels, _FAST)
    except cv2.error:  # more than a PNG's sides may have
        return RAW, frame.data
    return ("png", data.tobytes()) if done else (RAW, frame.data)


def _overlay(frame: Frame, result: Result, limits: LimitSettings) -> bytes:
    label_map = cv2.imdecode(np.frombuffer(result.label_map, np.uint8), cv2.IMREAD_GRAYSCALE)
    drawn = overlay(decode(frame, limits), np.asarray(label_map, np.uint8), result.regions)
    return encoded(drawn, ".jpg")


def _as_json(record: Record, line: str, files: Mapping[str, bytes]) -> bytes:
    """The fields of the result under their own names, those of the frame that it lacks, and the files' bytes.

    Bytes are told because a system that loses its power may keep a file's name and not what is in it.
    """
    frame, result = record.frame, record.result
    values: dict[str, Any] = {"line": line} | asdict(result)
    for name in ("id", "label_map"):
        del values[name]
    score = result.score
    values["score"] = score if score is not None and math.isfinite(score) else None
    values |= {"encoding": frame.encoding.value, "deadline_ms": frame.deadline_ms}
    if frame.encoding.raw_channels:
        values |= {"width": frame.width, "height": frame.height}
    values |= {"committed_at": record.at, "files": {ending: len(data) for ending, data in files.items()}}
    return json.dumps(values, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
