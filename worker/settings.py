"""All settings, and the only place that reads the environment and the YAML file.

A value comes from, first wins: a command-line flag, an environment variable `LINE_…` (nested with `__`:
`LINE_REDIS__URL`), the YAML file of `--config` or `LINE_CONFIG`, the default.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SourceReadError,
)

from worker.devices import parse_devices
from worker.errors import DeviceError, SettingsError

PREFIX = "LINE_"
CONFIG_VARIABLE = "LINE_CONFIG"
OUTSIDE = {CONFIG_VARIABLE, "LINE_SHARED_DIR"}  # not fields: the YAML file to read, the tests' data

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RedisSettings(_Section):
    """How to reach Redis."""

    url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="redis://, rediss:// or unix:// URL")
    connect_timeout_s: float = Field(3.0, gt=0, le=60, description="give up connecting after")
    timeout_s: float = Field(5.0, ge=1, le=60, description="give up waiting for a reply after")
    health_check_s: int = Field(10, ge=1, le=300, description="ping a connection that was idle this long")

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value


class BatchSettings(_Section):
    """Dynamic batching: a batch closes when full, or this long after its first frame."""

    max_batch: int = Field(8, ge=1, le=256, description="frames a device call at most")
    max_wait_ms: float = Field(20.0, ge=0, le=10_000, description="wait for more, from the batch's first frame")


class QueueSettings(_Section):
    """What the frames stream may hold, and what a publisher does when it is full."""

    policy: Literal["block", "drop-oldest", "drop-newest"] = Field("block", description="when the queue is full")
    max_frames: int = Field(1_000, ge=1, description="frames waiting or in work at most")
    max_bytes: int = Field(512 * 2**20, ge=2**16, description="image bytes waiting or in work at most")
    block_timeout_s: float = Field(
        0, ge=0, description="policy block: count the frame as dropped after this long; 0 waits for ever"
    )


class LimitSettings(_Section):
    """Frames beyond these limits are dead-lettered before they are decoded."""

    max_bytes: int = Field(32 * 2**20, ge=1, description="bytes of `data`")
    max_pixels: int = Field(50_000_000, ge=1, description="pixels an image, read from its header")
    min_side: int = Field(8, ge=1, description="pixels of the shorter side at least")


class WorkSettings(_Section):
    """Reading, recovery and the supervisor's patience."""

    claim_idle_ms: int = Field(30_000, ge=1_000, description="take over a frame that a dead worker left, after")
    max_attempts: int = Field(3, ge=1, le=100, description="deliveries of a frame before it is dead-lettered")
    hang_timeout_s: float = Field(30.0, ge=1, description="kill a worker that makes no progress for")
    start_timeout_s: float = Field(120.0, ge=1, description="kill a worker that is not ready after")
    drain_timeout_s: float = Field(20.0, ge=0, description="on SIGTERM, kill workers that have not left after")
    max_restarts: int = Field(5, ge=1, description="deaths in a row without a finished frame: a crash loop")
    backoff_s: float = Field(0.5, ge=0, le=60, description="first pause before a restart; doubles up to 30 s")
    decode_threads: int = Field(2, ge=1, le=64, description="threads that decode and preprocess")


class KeepSettings(_Section):
    """How many entries the output streams keep (trimmed to about this many)."""

    results: int = Field(10_000, ge=1, description="verdicts on the results stream")
    alerts: int = Field(10_000, ge=1, description="events on the alerts stream")
    dead: int = Field(1_000, ge=1, description="dead letters that can be looked at and replayed")
    reply_s: int = Field(60, ge=1, description="seconds that a reply waits to be fetched")


class AlertRule(_Section):
    """`raise_at` bad results of the last `window` raise; `clear_after` good ones in a row clear."""

    enabled: bool = Field(True, description="whether this kind of alert is raised")
    window: int = Field(5, ge=1, le=1_000, description="results of a camera that are looked back on")
    raise_at: int = Field(3, ge=1, le=1_000, description="so many bad ones among them raise")
    clear_after: int = Field(5, ge=1, le=1_000, description="so many good ones in a row clear")

    @model_validator(mode="after")
    def _can_raise(self) -> AlertRule:
        if self.raise_at > self.window:
            raise ValueError(f"raise_at ({self.raise_at}) must not exceed window ({self.window})")
        return self


class WebhookSettings(_Section):
    """Where alert events are POSTed as JSON."""

    url: SecretStr = Field(SecretStr(""), description="http(s) URL; empty: no webhook")
    timeout_s: float = Field(5.0, gt=0, le=60, description="give up on one POST after; it is tried again")

    @field_validator("url")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and _split_webhook(url) is None:
            raise ValueError("must be http:// or https:// with a host, and without spaces")
        return value


class AlertSettings(_Section):
    """The alert process."""

    anomaly: AlertRule = AlertRule()
    invalid: AlertRule = AlertRule(window=10, raise_at=5, clear_after=5)
    late: AlertRule = AlertRule(window=20, raise_at=10, clear_after=10)
    camera_silent_s: float = Field(30.0, ge=0, description="a camera without results this long; 0: off")
    worker_down_s: float = Field(15.0, ge=0, description="a worker not seen at Redis this long; 0: off")
    backlog_share: float = Field(0.8, ge=0, le=1, description="share of queue.max_frames; 0: off")
    reorder_ms: float = Field(500.0, ge=0, le=60_000, description="wait this long for a missing seq")
    update_every_s: float = Field(10.0, ge=0, description="at most one `updated` event an open alert this often")
    webhook: WebhookSettings = WebhookSettings()


class MetricsSettings(_Section):
    """The Prometheus endpoints, one a process tree."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(9108, ge=0, le=65_535, description="port of `run`; 0: off")
    alerts_port: int = Field(9109, ge=0, le=65_535, description="port of `alerts`; 0: off")
    produce_port: int = Field(0, ge=0, le=65_535, description="port of `produce`; 0: off")


class LogSettings(_Section):
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
    devices: str = Field("cpu", description="one worker each: cpu, cpu:0, cpu:0-3, cpu:0,cpu:1, gpu:0,1 …")
    model: Path | None = Field(None, description="the model folder (bundle or PaddleX export)")
    threshold: float | None = Field(None, ge=0, allow_inf_nan=False, description="overrides the bundle's threshold")
    engine: Literal["paddle"] = Field("paddle", description="what runs the model")
    redis: RedisSettings = RedisSettings()
    batch: BatchSettings = BatchSettings()
    queue: QueueSettings = QueueSettings()
    limits: LimitSettings = LimitSettings()
    work: WorkSettings = WorkSettings()
    keep: KeepSettings = KeepSettings()
    alerts: AlertSettings = AlertSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

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


def load(flags: dict[str, Any] | None = None, config: Path | None = None) -> tuple[Settings, dict[str, str]]:
    """The settings in force, and where each leaf came from: `flag`, `env LINE_…`, the file's path or `default`.

    Args:
        flags: dotted names to values, as in `{"queue.policy": "block"}`; None values count as not given.
        config: a YAML file; None: the file that LINE_CONFIG names, or none.

    Raises:
        SettingsError: naming the field and what is allowed.
    """
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}

    def add(leaves: dict[str, Any], source: str) -> None:
        for name, value in leaves.items():
            values[name] = value
            origin[name] = source.format(name=PREFIX + name.upper().replace(".", "__"))

    path = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if path is not None:
        add(_given(_flatten(_read_yaml(path))), str(path).replace("{", "{{").replace("}", "}}"))
    add(_flatten(_read_environment()), "env {name}")
    add({name: value for name, value in (flags or {}).items() if value is not None}, "flag")
    try:
        settings = Settings(**_nest(values))
    except ValidationError as error:
        raise SettingsError(_explain(error, origin)) from error
    return settings, {name: origin.get(name, "default") for name in _flatten(settings.model_dump())}


def describe(settings: Settings) -> dict[str, Any]:
    """All leaves by their dotted names, the Redis password masked, of the webhook's URL scheme and host alone."""
    leaves = _flatten(settings.model_dump(mode="json"))
    leaves["redis.url"] = mask_password(settings.redis.url.get_secret_value())
    leaves["alerts.webhook.url"] = mask_webhook(settings.alerts.webhook.url.get_secret_value())
    return leaves


def mask_password(url: str) -> str:
    """The URL with its password replaced by `***`, fit for logs."""
    scheme, separator, rest = re.sub(r"([?&]password=)[^&]*", r"\1***", url).partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.partition(':')[0]}:***@{host}" if at else f"{scheme}{separator}{rest}"


def mask_webhook(url: str) -> str:
    """The webhook's URL as far as it is no secret; a token may stand anywhere behind the host."""
    parts = _split_webhook(url)
    if parts is None:
        return "***" if url else ""
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return shown if url in (shown, f"{shown}/") else f"{shown}/***"


def _split_webhook(url: str) -> SplitResult | None:
    """Its parts; None where nobody could be called by it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a broken IPv6 address or port
        return None
    return parts if usable and url.isprintable() and " " not in url else None


def to_json(settings: Settings) -> str:
    """One line for handing the settings to a child process over a pipe, the secrets included."""
    values = settings.model_dump(mode="json")
    values["redis"]["url"] = settings.redis.url.get_secret_value()
    values["alerts"]["webhook"]["url"] = settings.alerts.webhook.url.get_secret_value()
    return json.dumps(values)


def from_json(text: str) -> Settings:
    """The settings that a parent process handed over with `to_json`."""
    return Settings(**json.loads(text))


def inherited_environment() -> dict[str, str]:
    """What a child process gets: our environment without our settings, which travel over its standard input."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SettingsError(f"config file {path}: {'is not a file' if path.exists() else 'there is no such file'}")
    try:
        return YamlConfigSettingsSource(Settings, yaml_file=path)()
    except OSError as error:
        raise SettingsError(f"config file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, SourceReadError, ValueError, TypeError) as error:
        raise SettingsError(f"config file {path}: not a YAML mapping of settings: {error}") from error


def _given(leaves: dict[str, Any]) -> dict[str, Any]:
    """Without the settings and sections that stand there empty, as where all below them is commented out."""
    known = list(_flatten(Settings.model_validate({}).model_dump()))

    def is_known(name: str) -> bool:
        return any(leaf == name or leaf.startswith(f"{name}.") for leaf in known)

    return {name: value for name, value in leaves.items() if value is not None or not is_known(name)}


def _read_environment() -> dict[str, Any]:
    tops = set(Settings.model_fields)
    for variable in os.environ:
        if not variable.startswith(PREFIX) or variable in OUTSIDE:
            continue
        if variable.removeprefix(PREFIX).lower().partition("__")[0] not in tops:
            raise SettingsError(f"{variable}: there is no such setting; {_nearest(variable)}")
    try:
        return EnvSettingsSource(Settings)()
    except SourceReadError as error:
        raise SettingsError(f"environment: {error}") from error


def _explain(error: ValidationError, origin: dict[str, str]) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        where = f" (from {origin[name]})" if name in origin else ""
        if problem["type"] == "extra_forbidden":
            lines.append(f"{name}{where}: there is no such setting; {_nearest(name)}")
        elif name == "alerts" or name.startswith(("redis", "alerts.webhook")):
            lines.append(f"{name}{where}: {problem['msg']}")  # never echo what may hold a URL with its secret
        else:
            lines.append(f"{name}{where}: {problem['msg']}; got {problem['input']!r}")
    return "\n".join(lines)


def _nearest(name: str) -> str:
    known = list(_flatten(Settings.model_validate({}).model_dump()))
    wanted = name.removeprefix(PREFIX).lower().replace("__", ".")
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}? " if close else ""
    return f"{hint}`line-worker config` lists all"


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            leaves |= _flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _nest(leaves: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in leaves.items():
        *sections, leaf = name.split(".")
        section = values
        for part in sections:
            inner = section.setdefault(part, {})
            if not isinstance(inner, dict):
                raise SettingsError(f"{part}: is a section with settings of its own, not one value")
            section = inner
        section[leaf] = value
    return values
