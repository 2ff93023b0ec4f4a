"""Every setting with its default, its limits and what it is for: the models that `Settings` is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.devices import parse_devices
from worker.errors import DeviceError
from worker.settings.alerts import AlertSettings
from worker.settings.evidence import EvidenceSettings
from worker.settings.gateway import GatewaySettings
from worker.settings.listed import NAME, Listed, check_cameras, split
from worker.settings.redis import RedisSettings
from worker.settings.section import Section
from worker.settings.watch import WatchSettings

PREFIX = "LINE_"

Name = Annotated[str, Field(pattern=NAME)]

ANY = "auto"
"""The value of `engine` and `precision` that leaves them to the gate and the clock."""


class BatchSettings(Section):
    """Dynamic batching: a batch takes what is ready, and waits a little for what is being made ready."""

    max_batch: int = Field(8, ge=1, le=256, description="frames a device call at most")
    max_wait_ms: float = Field(
        20.0, ge=0, le=10_000, description="wait for frames that are being decoded, from the first on"
    )


class GateSettings(Section):
    """How far an engine's scores of the golden frames may be from paddle's in fp32, for it to be used."""

    min_rank_correlation: float = Field(0.98, ge=-1, le=1, description="Spearman's, over the golden frames, at least")
    max_error_fp32: float = Field(0.001, ge=0, description="in fp32: largest relative error of a score at most")
    max_error_half: float = Field(0.05, ge=0, description="in bf16 and fp16: the same")
    max_error_int8: float = Field(0.25, ge=0, description="in int8: the same")
    max_shift: float = Field(0.008, ge=0, description="the middle one of the relative errors at most, up or down")
    max_flips: float = Field(0.02, ge=0, le=1, description="share of golden frames with another verdict at most")


class QueueSettings(Section):
    """What the frames stream may hold, and what a publisher does when it is full."""

    policy: Literal["block", "drop-oldest", "drop-newest"] = Field("block", description="when the queue is full")
    max_frames: int = Field(1_000, ge=1, description="frames waiting or in work at most")
    max_bytes: int = Field(512 * 2**20, ge=2**16, description="image bytes waiting or in work at most")
    block_timeout_s: float = Field(
        0, ge=0, description="policy block: count the frame as dropped after this long; 0 waits for ever"
    )


class LimitSettings(Section):
    """Frames beyond these limits are dead-lettered before they are decoded."""

    max_bytes: int = Field(32 * 2**20, ge=1, description="bytes of `data`")
    max_pixels: int = Field(50_000_000, ge=1, description="pixels an image, read from its header")
    min_side: int = Field(8, ge=1, description="pixels of the shorter side at least")
    max_side: int = Field(65_535, ge=1, description="pixels of the longer side at most")
    max_scans: int = Field(32, ge=1, description="passes of a progressive JPEG, each of which takes decoding time")
    refuse_damaged: bool = Field(True, description="refuse a JPEG in which the decoder finds damage")
    max_clock_skew_s: float = Field(
        300.0, ge=0, le=86_400, description="how far `captured_at` may be ahead of the line's clock; 0: any"
    )


class WorkSettings(Section):
    """Reading, recovery and the supervisor's patience."""

    claim_idle_ms: int = Field(30_000, ge=1_000, description="take over a frame that a dead worker left, after")
    forget_worker_s: float = Field(
        3_600.0, ge=10, description="a dead worker whose frames are all taken over is forgotten after; its alert ends"
    )
    max_attempts: int = Field(3, ge=1, le=100, description="deliveries of a frame before it is dead-lettered")
    hang_timeout_s: float = Field(
        30.0, ge=1, description="kill a worker that makes no progress for; well over redis.timeout_s"
    )
    start_timeout_s: float = Field(120.0, ge=1, description="kill a worker that is not ready after")
    drain_timeout_s: float = Field(20.0, ge=0, description="on SIGTERM, kill workers that have not left after")
    max_restarts: int = Field(5, ge=1, description="deaths in a row without a finished frame: a crash loop")
    backoff_s: float = Field(0.5, ge=0, le=60, description="first pause before a restart; doubles up to 30 s")
    decode_threads: int = Field(
        0, ge=0, le=64, description="threads that decode and preprocess; 0: one a core of the device, at most 8"
    )


class KeepSettings(Section):
    """How many entries the output streams keep (trimmed to about this many)."""

    results: int = Field(10_000, ge=1, description="verdicts on the results stream")
    alerts: int = Field(10_000, ge=1, description="events on the alerts stream")
    dead: int = Field(1_000, ge=1, description="dead letters that can be looked at and replayed")
    dead_bytes: int = Field(256 * 2**20, ge=2**16, description="bytes of the dead letters; the oldest go first")
    reply_s: int = Field(60, ge=1, description="seconds that a reply waits to be fetched")


class MetricsSettings(Section):
    """The Prometheus endpoints, one a process tree."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(9108, ge=0, le=65_535, description="port of `run`; 0: off")
    alerts_port: int = Field(9109, ge=0, le=65_535, description="port of `alerts`; 0: off")
    produce_port: int = Field(0, ge=0, le=65_535, description="port of `produce`; 0: off")


class LogSettings(Section):
    """Logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else json")


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,  # an empty variable is how many tools say that it is not set
        extra="forbid",
        frozen=True,
    )

    line: Name = Field("line1", description="the line's name: the prefix of all its keys")
    on_demand: Listed = Field(
        "http", description="cameras that come when asked: may be silent, and show a picture again"
    )
    devices: Listed = Field("cpu", description="one worker each: cpu, cpu:0, cpu:0-3, cpu:0,cpu:1, gpu:0,1 …")
    model: Path | None = Field(None, description="the model folder (bundle or PaddleX export)")
    takt_ms: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="time from one part to the next, for Prometheus' rules; 0: not told"
    )
    threshold: float | None = Field(None, ge=0, allow_inf_nan=False, description="overrides the bundle's threshold")
    engine: Literal["auto", "paddle", "openvino", "onnxruntime"] = Field(
        "auto", description="what runs the model; auto: the fastest here that passes the gate"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto", description="what the engine computes in; auto: the fastest here that passes the gate"
    )
    gate: GateSettings = GateSettings()
    cache: Path | None = Field(
        None, description="folder for what is made and measured for this machine; none: the user's cache folder"
    )
    state: Path | None = Field(
        None, description="folder for what has to outlast a restart: which pictures were published; none: the user's"
    )
    redis: RedisSettings = RedisSettings()
    batch: BatchSettings = BatchSettings()
    queue: QueueSettings = QueueSettings()
    limits: LimitSettings = LimitSettings()
    watch: WatchSettings = WatchSettings()
    work: WorkSettings = WorkSettings()
    keep: KeepSettings = KeepSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    alerts: AlertSettings = AlertSettings()
    metrics: MetricsSettings = MetricsSettings()
    gateway: GatewaySettings = GatewaySettings()
    log: LogSettings = LogSettings()

    @property
    def cache_folder(self) -> Path:
        """`cache`, or the place that this system has for it."""
        return self.cache or platformdirs.user_cache_path("line-worker")

    @property
    def state_folder(self) -> Path:
        """`state`, or the place that this system has for it."""
        return self.state or platformdirs.user_state_path("line-worker")

    @property
    def cameras_on_demand(self) -> frozenset[str]:
        """`on_demand`, taken apart."""
        return frozenset(split(self.on_demand))

    @field_validator("on_demand")
    @classmethod
    def _names(cls, value: str) -> str:
        return check_cameras(value)

    @field_validator("devices")
    @classmethod
    def _parsable(cls, value: str) -> str:
        try:
            parse_devices(value)
        except DeviceError as error:
            raise ValueError(str(error)) from error
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands over: it merges flags, environment and file, and knows where each came from."""
        return (init_settings,)
