"""What a pipeline is made of: PaddleX's YAML files of both generations, and ours, which are of the second.

pipeline_name: anomaly_detection            Pipeline:
SubModules:                                   model: STFPM
  AnomalyDetection:                           batch_size: 1
    model_name: STFPM                         device: gpu:0
    model_dir: null
    batch_size: 8
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from worker.errors import SettingsError
from worker.pipeline.official import STFPM
from worker.settings import ANY

PIPELINE = "anomaly_detection"
TEMPLATE = Path(__file__).with_name(f"{PIPELINE}.yaml")
"""What `get-pipeline-config` gives: the pipeline by its name."""

# PaddleX's names for what runs a model, and ours.
_ENGINES = {"paddle_static": "paddle", "hpi": ANY}

Engine = Literal["auto", "paddle", "openvino", "onnxruntime"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _section(value: Any) -> Any:
    """One that stands there empty has its defaults."""
    return {} if value is None else value


def own_name_of_engine(value: Any) -> Any:
    """PaddleX's name for an engine as ours; any other as it is."""
    return _ENGINES.get(value, value) if isinstance(value, str) else value


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class _Model(_Part):
    """A model of the pipeline. `engine`, `precision` and `threshold` are ours; PaddleX has neither."""

    module_name: Literal["anomaly_detection"] = "anomaly_detection"
    model_name: Literal["STFPM"] = "STFPM"
    model_dir: Annotated[str | None, BeforeValidator(_text)] = None
    batch_size: int = Field(8, ge=1, le=256)
    use_hpip: bool | None = None
    hpi_config: Any = None
    engine_config: Any = None
    genai_config: Any = None
    engine: Annotated[Engine | None, BeforeValidator(own_name_of_engine)] = None
    precision: Precision | None = None
    threshold: float | None = Field(None, ge=0, allow_inf_nan=False)


class _SubModules(_Part):
    AnomalyDetection: Annotated[_Model, BeforeValidator(_section)] = _Model()


class _Serving(BaseModel):
    model_config = ConfigDict(extra="ignore")

    visualize: bool | None = None


class _Second(_Part):
    """A file of PaddleX 3.0 and later. `engine_config` and `hpi_config` are about PaddleX's own engines."""

    pipeline_name: Literal["anomaly_detection"]
    SubModules: Annotated[_SubModules, BeforeValidator(_section)] = _SubModules()
    Serving: Annotated[_Serving, BeforeValidator(_section)] = _Serving()
    device: str | None = None
    use_hpip: bool = False
    engine: Annotated[Engine | None, BeforeValidator(own_name_of_engine)] = None
    engine_config: Any = None
    hpi_config: Any = None


class _Global(BaseModel):
    model_config = ConfigDict(extra="ignore")

    pipeline_name: Literal["anomaly_detection"]


class _Pipeline(_Part):
    model: str = STFPM
    batch_size: int = Field(1, ge=1, le=256)
    device: str | None = None
    use_hpip: bool = False


class _First(_Part):
    """A file of PaddleX 3.0 beta."""

    Global: _Global
    Pipeline: _Pipeline


class PipelineConfig(_Part):
    """A pipeline as it is to be. `model` is a folder or the name of an official model."""

    model_config = ConfigDict(frozen=True)

    model: str = STFPM
    batch_size: int = 8
    device: str | None = None
    engine: Engine | None = None
    precision: Precision | None = None
    threshold: float | None = None
    use_hpip: bool = False
    visualize: bool | None = None


def read_config(pipeline: str | Path) -> PipelineConfig:
    """The pipeline of this name or YAML file.

    Raises:
        SettingsError: there is no such pipeline or file, or it holds what is not understood.
    """
    path = Path(pipeline)
    if path.suffix.lower() not in (".yaml", ".yml"):
        if str(pipeline) != PIPELINE:
            raise SettingsError(f"pipeline {str(pipeline)!r}: there is {PIPELINE}, or name a YAML file")
        path = TEMPLATE
    try:
        values = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"pipeline {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"pipeline {path}: not YAML: {error}") from error
    return parse_config(values, str(path))


def write_template(pipeline: str, where: Path) -> Path:
    """Write the file of a pipeline by name, to a `.yaml` file or into a folder, and return its path.

    Raises:
        SettingsError: there is no such pipeline, the file is there already, or it cannot be written.
    """
    if pipeline != PIPELINE:
        raise SettingsError(f"pipeline {pipeline!r}: there is {PIPELINE}")
    path = where if where.suffix.lower() in (".yaml", ".yml") else where / TEMPLATE.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(TEMPLATE.read_bytes())
    except FileExistsError as error:
        raise SettingsError(f"{path} is there already, and may have been edited: name another place") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
    return path


def parse_config(values: Any, where: str = "config") -> PipelineConfig:
    """The pipeline in a YAML file's content.

    Raises:
        SettingsError: naming the key and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"pipeline {where}: not a mapping of settings")
    try:
        return (
            _first(_First.model_validate(values)) if "Pipeline" in values else _second(_Second.model_validate(values))
        )
    except ValidationError as error:
        told = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}; got {one['input']!r:.80}" for one in error.errors())
        raise SettingsError(f"pipeline {where}: {'; '.join(told)}") from error


def _first(read: _First) -> PipelineConfig:
    given = read.Pipeline
    return PipelineConfig(model=given.model, batch_size=given.batch_size, device=given.device, use_hpip=given.use_hpip)


def _second(read: _Second) -> PipelineConfig:
    model = read.SubModules.AnomalyDetection
    return PipelineConfig(
        model=model.model_dir or model.model_name,
        batch_size=model.batch_size,
        device=read.device,
        engine=model.engine or read.engine,
        precision=model.precision,
        threshold=model.threshold,
        use_hpip=read.use_hpip if model.use_hpip is None else model.use_hpip,
        visualize=read.Serving.visualize,
    )
