"""The field codec: frames, results, dead letters and alerts to and from flat stream entries.

What foreign clients write is checked field by field here; what we write ourselves is read back leniently.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from worker.errors import FieldError, StreamError
from worker.settings import LimitSettings
from worker.stream.connection import pairs
from worker.types import Alert, AlertKind, AlertState, Encoding, Frame, Region, Result, Severity, Verdict

Fields = dict[str, str | bytes]

FRAME_FIELDS = frozenset(
    ["camera", "data", "encoding", "width", "height", "seq", "captured_at", "part_id", "deadline_ms", "reply_to"]
)
_KNOWN = frozenset(name.encode() for name in FRAME_FIELDS)
CAMERA = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(rb"[0-9]{1,19}")
_MAX_NUMBER = 2**63 - 1
_MAX_TEXT = 128
_MAX_TEXT_BYTES = 4 * _MAX_TEXT  # of UTF-8: what is longer is not even decoded
_SHOWN = 40
_NS_PER_S = 1_000_000_000
_json = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes an encoder at each call


def entry_time_ns(entry_id: str) -> int:
    """The unix nanoseconds in a stream entry's id (its first part is milliseconds)."""
    return int(entry_id.partition("-")[0]) * 1_000_000


def frame_to_fields(frame: Frame) -> Fields:
    """The entry for a frame; fields that hold their default are left out."""
    fields: Fields = {"camera": frame.camera, "data": frame.data, "encoding": frame.encoding.value}
    if frame.encoding.raw_channels:
        fields |= {"width": str(frame.width), "height": str(frame.height)}
    if frame.seq is not None:
        fields["seq"] = str(frame.seq)
    for name in ("captured_at", "part_id", "deadline_ms", "reply_to"):
        if value := getattr(frame, name):
            fields[name] = str(value)
    return fields


def frame_from_fields(entry_id: str, flat: list[bytes], limits: LimitSettings, now_ns: int) -> Frame:
    """The frame in an entry of the frames stream, read at `now_ns` (unix nanoseconds).

    A picture that was captured after its entry was made, by more than `limits.max_clock_skew_s`, tells that a clock
    is wrong: its deadline cannot be judged and its record would be false, so it is refused. However old a picture
    is, it is taken: cameras store and forward, dead letters are replayed; and one with a deadline is late by then.
    A client may choose an entry's id, and with it its time: `published_at` is never later than now.

    Raises:
        FieldError: `too_many_fields`, `missing_field`, `unknown_field`, `bad_field`, `unknown_encoding`, `empty` or
            `clock_skew`, naming the field.
    """
    if len(flat) > 2 * len(FRAME_FIELDS):
        raise FieldError("too_many_fields", f"{len(flat) // 2} fields; a frame has at most {len(FRAME_FIELDS)}")
    fields = _named(flat)
    if "data" not in fields:
        raise FieldError("missing_field", "field 'data' is missing: it holds the image's bytes")
    if not fields["data"]:
        raise FieldError("empty", "field 'data' is empty: it must hold the image's bytes")
    encoding = _encoding(fields.get("encoding", b"jpeg"))
    width, height = _number(fields, "width"), _number(fields, "height")
    if encoding.raw_channels and not (width and height):
        raise FieldError("missing_field", f"encoding {encoding} needs 'width' and 'height', both above 0")
    entered_at = entry_time_ns(entry_id)
    published_at = min(entered_at, now_ns)
    return Frame(
        id=entry_id,
        camera=_camera(fields),
        data=fields["data"],
        encoding=encoding,
        width=width,
        height=height,
        seq=_number(fields, "seq") if "seq" in fields else None,
        captured_at=_captured_at(fields, entered_at, limits.max_clock_skew_s) or published_at,
        published_at=published_at,
        part_id=_text(fields, "part_id"),
        deadline_ms=_number(fields, "deadline_ms"),
        reply_to=_reply_token(fields),
    )


def camera_of(flat: list[bytes]) -> str:
    """The camera's name in an entry that may be broken otherwise; `?` where it has no usable one."""
    return _salvage(flat, b"camera", CAMERA) or "?"


def reply_token_of(flat: list[bytes]) -> str:
    """The reply token in an entry that may be broken otherwise; empty where it has no usable one."""
    return _salvage(flat, b"reply_to", _TOKEN) or ""


def result_to_fields(result: Result) -> Fields:
    """The entry for a result; every field is there, empty where it has no value."""
    return {
        "frame": result.frame,
        "camera": result.camera,
        "seq": "" if result.seq is None else str(result.seq),
        "part_id": result.part_id,
        "captured_at": str(result.captured_at),
        "published_at": str(result.published_at),
        "verdict": result.verdict.value,
        "reason": result.reason,
        "score": _float_text(result.score),
        "threshold": _float_text(result.threshold),
        "size": _size_text(result.size),
        "image_size": _size_text(result.image_size),
        "label_map": result.label_map,
        "regions": _json([asdict(region) for region in result.regions]) if result.regions else "[]",
        "model": result.model,
        "engine": result.engine,
        "precision": result.precision,
        "device": result.device,
        "worker": result.worker,
        "timings": _json(result.timings),
    }


def result_from_fields(entry_id: str, flat: list[bytes]) -> Result:
    """The result in an entry of the results stream.

    Raises:
        StreamError: the entry is not one that a worker of ours wrote.
    """
    fields = dict(pairs(flat))

    def text(name: str) -> str:
        return fields.get(name.encode(), b"").decode()

    try:
        return Result(
            id=entry_id,
            frame=text("frame"),
            camera=text("camera"),
            seq=int(text("seq")) if text("seq") else None,
            part_id=text("part_id"),
            captured_at=int(text("captured_at") or 0),
            published_at=int(text("published_at") or 0),
            verdict=Verdict(text("verdict")),
            reason=text("reason"),
            score=_float(text("score")),
            threshold=_float(text("threshold")),
            size=_size(text("size")),
            image_size=_size(text("image_size")),
            label_map=fields.get(b"label_map", b""),
            regions=tuple(Region(**region) for region in json.loads(text("regions") or "[]")),
            model=text("model"),
            engine=text("engine"),
            precision=text("precision"),
            device=text("device"),
            worker=text("worker"),
            timings=json.loads(text("timings") or "{}"),
        )
    except (ValueError, TypeError) as error:
        raise StreamError(f"entry {entry_id} is not a result: {error}") from error


def alert_to_fields(alert: Alert) -> Fields:
    """The entry for an alert event."""
    fields: Fields = {name: str(value) for name, value in asdict(alert).items() if name != "id"}
    return fields | {"score": _float_text(alert.score), "shelved": "1" if alert.shelved else ""}


def alert_from_fields(entry_id: str, flat: list[bytes]) -> Alert:
    """The alert event in an entry of the alerts stream.

    Raises:
        StreamError: the entry is not one that an alert process of ours wrote.
    """
    try:
        fields = {name.decode(): value.decode() for name, value in pairs(flat)}
        return Alert(
            id=entry_id,
            alert_id=fields["alert_id"],
            camera=fields["camera"],
            kind=AlertKind(fields["kind"]),
            state=AlertState(fields["state"]),
            severity=Severity(fields["severity"]),
            opened_at=int(fields["opened_at"]),
            at=int(fields["at"]),
            frame=fields.get("frame", ""),
            score=_float(fields.get("score", "")),
            count=int(fields.get("count") or 0),
            message=fields.get("message", ""),
            model=fields.get("model", ""),
            by=fields.get("by", ""),
            note=fields.get("note", ""),
            shelved=fields.get("shelved", "") == "1",
        )
    except (ValueError, KeyError) as error:
        raise StreamError(f"entry {entry_id} is not an alert: {error!r}") from error


def flat_fields(fields: Fields) -> list[Any]:
    """[name, value, name, value, …] for XADD."""
    return [part for pair in fields.items() for part in pair]


def _named(flat: list[bytes]) -> dict[str, bytes]:
    if len(flat) % 2:
        raise FieldError("bad_field", f"{len(flat)} strings: the last field has no value")
    fields: dict[str, bytes] = {}
    for raw, value in pairs(flat):
        if raw not in _KNOWN:
            known = ", ".join(sorted(FRAME_FIELDS))
            raise FieldError("unknown_field", f"field {_show(raw)} is unknown; known are {known}")
        name = raw.decode()
        if name in fields:
            raise FieldError("bad_field", f"field {name!r} stands twice in the entry")
        fields[name] = value
    return fields


def _encoding(raw: bytes) -> Encoding:
    try:
        return Encoding(raw[:_SHOWN].decode("ascii"))  # all known ones are shorter
    except ValueError:
        allowed = ", ".join(Encoding)
        raise FieldError("unknown_encoding", f"encoding {_show(raw)} is unknown; allowed are {allowed}") from None


def _camera(fields: dict[str, bytes]) -> str:
    if "camera" not in fields:
        raise FieldError("missing_field", "field 'camera' is missing: it names the camera")
    name = _matching(fields["camera"], CAMERA)
    if name is None:
        raise FieldError("bad_field", f"camera {_show(fields['camera'])}: 1 to 64 of A-Z a-z 0-9 _ . - are allowed")
    return name


def _captured_at(fields: dict[str, bytes], entered_at: int, max_skew_s: float) -> int:
    captured_at = _number(fields, "captured_at")
    ahead_s = (captured_at - entered_at) / _NS_PER_S
    if max_skew_s and ahead_s > max_skew_s:
        raise FieldError(
            "clock_skew",
            f"captured_at {captured_at} is {ahead_s:.0f} s after the entry's time {entered_at}: a clock is wrong; "
            f"limits.max_clock_skew_s is {max_skew_s:g}",
        )
    return captured_at


def _number(fields: dict[str, bytes], name: str) -> int:
    raw = fields.get(name, b"0")
    if not _NUMBER.fullmatch(raw) or int(raw) > _MAX_NUMBER:
        raise FieldError("bad_field", f"{name} {_show(raw)}: must be a whole number from 0 to 2^63-1")
    return int(raw)


def _text(fields: dict[str, bytes], name: str) -> str:
    raw = fields.get(name, b"")
    try:
        text = raw.decode("utf-8") if len(raw) <= _MAX_TEXT_BYTES else None
    except UnicodeDecodeError:
        raise FieldError("bad_field", f"{name} {_show(raw)}: must be UTF-8 text") from None
    if text is None or len(text) > _MAX_TEXT or not text.isprintable():
        raise FieldError("bad_field", f"{name} {_show(raw)}: at most {_MAX_TEXT} printable characters are allowed")
    return text


def _reply_token(fields: dict[str, bytes]) -> str:
    raw = fields.get("reply_to", b"")
    token = _matching(raw, _TOKEN) if raw else ""
    if token is None:
        raise FieldError("bad_field", f"reply_to {_show(raw)}: 1 to 64 of A-Z a-z 0-9 _ - are allowed")
    return token


def _salvage(flat: list[bytes], name: bytes, pattern: re.Pattern[str]) -> str | None:
    for key, value in zip(flat[::2], flat[1::2], strict=False):
        if key == name and (text := _matching(value, pattern)):
            return text
    return None


def _matching(raw: bytes, pattern: re.Pattern[str]) -> str | None:
    """The text where it is one of the pattern's; both patterns allow at most 64 characters, all ASCII."""
    text = raw[:65].decode("utf-8", "replace")
    return text if pattern.fullmatch(text) else None


def _show(raw: bytes) -> str:
    return repr(raw[:_SHOWN])[1:] + ("…" if len(raw) > _SHOWN else "")


def _float_text(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _float(text: str) -> float | None:
    return float(text) if text else None


def _size_text(size: tuple[int, int] | None) -> str:
    return "" if size is None else f"{size[0]},{size[1]}"


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    height, width = text.split(",")
    return int(height), int(width)
