"""`create_pipeline` and `create_model`, as PaddleX has them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from worker.errors import SettingsError
from worker.inference.engines import REFERENCE
from worker.pipeline.config import PipelineConfig, own_name_of_engine, parse_config, read_config
from worker.pipeline.official import STFPM, Progress, model_folder
from worker.pipeline.pipeline import AnomalyDetectionPipeline
from worker.settings import ANY, load

log = structlog.get_logger()


def create_pipeline(
    pipeline: str | Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    device: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    threshold: float | None = None,
    model_dir: str | Path | None = None,
    batch_size: int | None = None,
    use_hpip: bool | None = None,
    enable_hpi: bool | None = None,
    progress: Progress | None = None,
    **of_paddlex: Any,
) -> AnomalyDetectionPipeline:
    """The pipeline of a name (`anomaly_detection`), of a YAML file, or of such a file's content.

    What is given here wins over the file. Limits, image checks and the cache are those of the settings (`LINE_…`).

    Args:
        config: the content of a YAML file; wins over `pipeline`.
        device: `cpu`, `cpu:0-3`, `gpu:0`, `gpu:0,1` …; several share the work. None: the first GPU, else the CPU.
        engine: `paddle`, `openvino`, `onnxruntime`, or `auto`: the fastest here whose scores are paddle's.
        precision: `fp32`, `bf16`, `fp16`, `int8`, or `auto`.
        threshold: of the score; None: the model's own, which for an export of PaddleX's is PaddleX's.
        model_dir: a model folder, or `STFPM`, the official model.
        batch_size: pictures a call of the device.
        use_hpip, enable_hpi: high performance: engine and precision `auto`. Otherwise it is paddle in fp32.
        progress: called with bytes there and bytes in all where the official model is fetched.
        of_paddlex: `pp_option`, `hpi_config` and `engine_config` are taken and have no effect.

    Raises:
        SettingsError: there is no such pipeline, or a value is not allowed.
        LineError: the model, a device or the engine cannot be had.
    """
    if not structlog.is_configured():  # nobody's program is told on its standard output what it did not ask for
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    _check_others(of_paddlex)
    if pipeline is None and config is None:
        raise SettingsError("pipeline: name one, as in create_pipeline('anomaly_detection'), or give a config")
    wanted = read_config(pipeline) if config is None and pipeline is not None else parse_config(config)
    hpip = None if use_hpip is None and enable_hpi is None else bool(use_hpip or enable_hpi)
    given = {
        "model": None if model_dir is None else str(Path(model_dir).expanduser()),
        "device": device,
        "engine": own_name_of_engine(engine),
        "precision": precision,
        "threshold": threshold,
        "batch_size": batch_size,
        "use_hpip": hpip,
    }
    if hpip:
        wanted = wanted.model_copy(update={"engine": None, "precision": None})
    changes = {name: value for name, value in given.items() if value is not None}
    return _opened(wanted.model_copy(update=changes), progress)


def create_model(
    model_name: str = STFPM, model_dir: str | Path | None = None, *, batch_size: int = 1, **options: Any
) -> AnomalyDetectionPipeline:
    """The model alone, which predicts as the pipeline does; `options` are those of `create_pipeline`.

    Raises:
        SettingsError: there is no such model.
        LineError: see `create_pipeline`.
    """
    if model_name != STFPM:
        raise SettingsError(f"model {model_name!r}: the only one is {STFPM}")
    return create_pipeline("anomaly_detection", model_dir=model_dir, batch_size=batch_size, **options)


def _opened(wanted: PipelineConfig, progress: Progress | None) -> AnomalyDetectionPipeline:
    settings, origin = load()

    def own(name: str) -> Any:
        """What the environment or the settings' file says, None where it is the default."""
        return None if origin[name] == "default" else getattr(settings, name)

    model = str(own("model") or STFPM) if wanted.model == STFPM else wanted.model
    of_hpi = ANY if wanted.use_hpip else None
    engine = wanted.engine or of_hpi or own("engine") or REFERENCE.engine
    flags = {
        "devices": wanted.device or own("devices") or _default_device(),
        "engine": engine,
        "precision": wanted.precision
        or of_hpi
        or own("precision")
        or (REFERENCE.precision if engine == REFERENCE.engine else ANY),
        "threshold": wanted.threshold,
        "batch.max_batch": wanted.batch_size,
        "model": str(model_folder(model, settings.cache_folder, progress)),
    }
    return AnomalyDetectionPipeline(load(flags)[0])


def _default_device() -> str:
    """PaddleX's choice: the first GPU where paddle was built for one and sees it."""
    from worker.inference.engines.paddle import paddle

    return "gpu:0" if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0 else "cpu"


def _check_others(given: Mapping[str, Any]) -> None:
    unknown = set(given) - {"pp_option", "hpi_config", "engine_config"}
    if unknown:
        raise SettingsError(f"{sorted(unknown)[0]}: create_pipeline has no such argument")
    for name in sorted(name for name, value in given.items() if value is not None):
        log.warning("an option of PaddleX's own engines has no effect here", option=name)
