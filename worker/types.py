"""The nouns that travel through the line: Frame → Prediction → Result → Alert."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""H×W×3, RGB, uint8."""


class Verdict(StrEnum):
    """What is said of a frame."""

    OK = "OK"
    NG = "NG"
    INVALID = "INVALID"
    LATE = "LATE"


class Encoding(StrEnum):
    """How a frame's bytes are coded. The raw three need `width` and `height`."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    BMP = "bmp"
    BGR8 = "bgr8"
    RGB8 = "rgb8"
    MONO8 = "mono8"

    @property
    def raw_channels(self) -> int:
        """Bytes a pixel of a raw encoding; 0 for a compressed one."""
        return {"bgr8": 3, "rgb8": 3, "mono8": 1}.get(self.value, 0)

    @classmethod
    def of(cls, data: bytes) -> Encoding | None:
        """What a file's first bytes say it is, whatever its name or field says; None: none of these."""
        if data.startswith(b"\xff\xd8\xff"):
            return cls.JPEG
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return cls.PNG
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return cls.WEBP
        return cls.BMP if data.startswith(b"BM") else None


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from one camera, as it travels on the frames stream.

    `id` is the stream entry's id, empty until published; `published_at` and `captured_at` are unix
    nanoseconds (0: not known yet); `deadline_ms` counts from `captured_at`, 0 means none.
    """

    camera: str
    data: bytes
    encoding: Encoding = Encoding.JPEG
    width: int = 0
    height: int = 0
    seq: int | None = None
    captured_at: int = 0
    part_id: str = ""
    deadline_ms: int = 0
    reply_to: str = ""
    id: str = ""
    published_at: int = 0


@dataclass(frozen=True, slots=True)
class Region:
    """One connected anomaly: its box and area in pixels of the camera's image, its highest score."""

    x: int
    y: int
    w: int
    h: int
    area: int
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one image.

    `score` is the maximum of the opened anomaly map; `label_map` is H×W uint8 at the model's size, 255 where
    the opened map exceeds `threshold`, else 0; so `score > threshold` exactly when it is not empty.
    """

    score: float
    threshold: float
    label_map: npt.NDArray[np.uint8]
    regions: tuple[Region, ...]
    image_size: tuple[int, int]

    @property
    def verdict(self) -> Verdict:
        """NG above the threshold; INVALID where the score is no number: never OK when it is not known."""
        if not np.isfinite(self.score):
            return Verdict.INVALID
        return Verdict.NG if self.score > self.threshold else Verdict.OK


@dataclass(frozen=True, slots=True)
class Result:
    """One verdict, as it stands on the results stream. Times are unix nanoseconds, `timings` ms a stage.

    `size` and `image_size` are (H, W); `label_map` is a single-channel PNG, empty where no model looked.
    """

    frame: str
    camera: str
    verdict: Verdict
    seq: int | None = None
    part_id: str = ""
    captured_at: int = 0
    published_at: int = 0
    reason: str = ""
    score: float | None = None
    threshold: float | None = None
    size: tuple[int, int] | None = None
    image_size: tuple[int, int] | None = None
    label_map: bytes = b""
    regions: tuple[Region, ...] = ()
    model: str = ""
    engine: str = ""
    precision: str = ""
    device: str = ""
    worker: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    id: str = ""


class AlertKind(StrEnum):
    """What an alert is about."""

    ANOMALY = "anomaly"
    INVALID = "invalid"
    LATE = "late"
    CAMERA_SILENT = "camera_silent"
    BACKLOG = "backlog"
    WORKER_DOWN = "worker_down"
    EVIDENCE = "evidence"


class AlertState(StrEnum):
    """Where an alert stands: raised, updated while open, cleared; acknowledged by a person."""

    RAISED = "raised"
    UPDATED = "updated"
    CLEARED = "cleared"
    ACKNOWLEDGED = "acknowledged"


class Severity(StrEnum):
    """How urgent an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """One event in the life of an alert. `alert_id` is the same from raised to cleared.

    `camera` is empty for what concerns the whole line (backlog, worker_down, evidence). Times are unix nanoseconds.
    `frame` and `score` are those of the frame that made the event; `count` is the bad frames while open.
    `by` and `note` are a person's, who acknowledged it; what is `shelved` stands on the stream and goes to no sink.
    """

    alert_id: str
    camera: str
    kind: AlertKind
    state: AlertState
    severity: Severity
    opened_at: int
    at: int
    frame: str = ""
    score: float | None = None
    count: int = 0
    message: str = ""
    model: str = ""
    by: str = ""
    note: str = ""
    shelved: bool = False
    id: str = ""
