"""The cameras of a line as a YAML file: `line-worker produce --cameras configs/cameras.yml`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from worker.capture.encode import EncodeOptions, parse_crop, parse_size
from worker.capture.located_yaml import LocatedYaml
from worker.capture.open import Login, SourceOptions
from worker.capture.produce import ProduceOptions
from worker.capture.run import Camera, watched_file
from worker.capture.url import FilesUrl, StreamUrl, TestUrl, parse_source
from worker.errors import SettingsError, SourceError
from worker.settings import NAME, Settings
from worker.types import Encoding

_SECRET = ("source", "username")  # what an error does not repeat
_SAID = {
    "extra_forbidden": "there is no such key",
    "missing": "is missing",
    "model_type": "must be a mapping with keys",
}


class CameraEntry(BaseModel):
    """One camera. What is left out is as a flag of `produce` that is not given."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=NAME)
    source: str | int
    username: str = ""
    password_file: str = ""
    fps: float = Field(0.0, ge=0, le=1000)
    encoding: Literal["jpeg", "png", "webp", "bmp", "bgr8", "rgb8", "mono8"] | None = None
    quality: int = Field(90, ge=1, le=100)
    crop: str | None = None
    resize: str | None = None
    deadline_ms: int = Field(0, ge=0)
    part_id_from: Literal["source", "name"] = "source"
    policy: Literal["block", "drop-oldest", "drop-newest"] | None = None
    count: int = Field(0, ge=0)
    loop: bool = False
    watch: bool | None = None
    timeout_s: float = Field(10.0, ge=0.1, le=300)

    @field_validator("source")
    @classmethod
    def _understood(cls, value: str | int) -> str | int:
        url = _tried(parse_source, str(value))
        if isinstance(url, StreamUrl) and url.has_password:
            raise ValueError("a password does not belong here: give username and password_file")
        return value

    @field_validator("crop")
    @classmethod
    def _is_box(cls, value: str | None) -> str | None:
        if value is not None:
            _tried(parse_crop, value)
        return value

    @field_validator("resize")
    @classmethod
    def _is_size(cls, value: str | None) -> str | None:
        if value is not None:
            _tried(parse_size, value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> CameraEntry:
        url = parse_source(str(self.source))
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file go together")
        if self.username and not isinstance(url, StreamUrl):
            raise ValueError("username and password_file are for network cameras")
        if self.loop and not (isinstance(url, FilesUrl) or (isinstance(url, TestUrl) and url.count)):
            raise ValueError("loop is for what has an end: files, videos, and test:// with a count")
        if self.watch and (self.loop or not isinstance(url, FilesUrl)):
            raise ValueError("watch is for a folder, and not together with loop")
        return self


class _CamerasFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    cameras: list[CameraEntry] = Field(min_length=1, max_length=1000)


def read_cameras(file: Path, settings: Settings) -> list[Camera]:
    """The cameras that the file names.

    A folder is watched: what is in it is published once, and so is what comes later, unless the entry has `loop` or
    `watch: false`.

    Raises:
        SettingsError: the file cannot be read or is wrong; each fault with its line and camera.
    """
    located = LocatedYaml(file)
    try:
        entries = _CamerasFile.model_validate(located.content).cameras
    except ValidationError as error:
        faults = [(problem["loc"], _said(problem)) for problem in error.errors()]
    else:
        names = [entry.name for entry in entries]
        faults = [
            (("cameras", number, "name"), "another camera has this name")
            for number, name in enumerate(names)
            if name in names[:number]
        ]
    if faults:
        lines = [f"{file}, line {located.line(place)}: {_named(place, located.content)}{why}" for place, why in faults]
        raise SettingsError("\n".join(lines))
    return [_camera(entry, settings) for entry in entries]


def _camera(entry: CameraEntry, settings: Settings) -> Camera:
    source = SourceOptions(
        loop=entry.loop,
        timeout_s=entry.timeout_s,
        watched=None if entry.loop or entry.watch is False else watched_file(settings, entry.name),
        login=Login(entry.username, Path(entry.password_file)) if entry.username else None,
    )
    encode = EncodeOptions(
        encoding=Encoding(entry.encoding) if entry.encoding else None,
        quality=entry.quality,
        crop=parse_crop(entry.crop) if entry.crop else None,
        resize=parse_size(entry.resize) if entry.resize else None,
    )
    produce = ProduceOptions(
        camera=entry.name,
        fps=entry.fps,
        count=entry.count,
        deadline_ms=entry.deadline_ms,
        part_id_from=entry.part_id_from,
        passes_misfits=True,
        encode=encode,
    )
    return Camera(str(entry.source), source, produce, entry.policy)


def _tried(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except SourceError as error:
        raise ValueError(str(error)) from None


def _said(problem: Any) -> str:
    """What is wrong, and what was given where that is no secret."""
    said = _SAID.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    if problem["type"] == "extra_forbidden":
        known = CameraEntry if len(problem["loc"]) > 1 else _CamerasFile
        return f"{said}; there are {', '.join(known.model_fields)}"
    is_shown = isinstance(problem["input"], str | int | float) and not set(_SECRET) & set(problem["loc"])
    return f"{said}; got {problem['input']!r}" if is_shown else said


def _named(place: tuple[int | str, ...], content: Any) -> str:
    """`camera 'left', fps: `, as far as there is such a camera."""
    try:
        name = content["cameras"][place[1]]["name"]
    except (LookupError, TypeError):
        name = None
    who = [f"camera {name!r}"] if isinstance(name, str) else []
    fields = [str(part) for part in (place[2:3] or (() if who else place[:1]))]
    return "".join(f"{part}: " for part in [", ".join(who + fields)] if part)
