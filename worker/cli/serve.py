"""`line-worker serve`: the HTTP service, alone or with workers and a Redis of its own."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.common import option, stop_on_signals
from worker.settings import ANY, Settings, load

if TYPE_CHECKING:
    from worker.pipeline.config import PipelineConfig

PIPELINE = "anomaly_detection"


@click.command(
    epilog="""\b
Examples:
  line-worker serve --model ./bundle                       all of it: Redis, workers, http://127.0.0.1:8080
  line-worker serve --pipeline anomaly_detection --host 0.0.0.0 --port 8080 --device gpu:0 --use_hpip
  line-worker serve --pipeline ./my_path/anomaly_detection.yaml
  LINE_REDIS__URL=redis://10.0.0.5:6379/0 line-worker serve          the service of a line that has its workers
  line-worker serve --redis redis://10.0.0.5:6379/0 --workers --model ./bundle --devices cpu:0,cpu:1

\b
Where a Redis is named (--redis, LINE_REDIS__URL, --config's file), the service joins its line, and the workers are
those of `line-worker run`, unless --workers is given. Where none is, a Redis and workers are started too.
What is given as a flag wins over the pipeline's file, which wins over LINE_... and --config.
SIGTERM ends it once what is in flight is answered. A second signal ends it at once."""
)
@click.option(
    "--pipeline", metavar="NAME|FILE", default=PIPELINE, show_default=True, help="A pipeline's name or YAML file."
)
@click.option("--host", help="Address to listen on; 0.0.0.0 is every one.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on.  [default: 8080]")
@click.option(
    "--device", "--devices", "devices", metavar="LIST", help="One worker each: cpu, cpu:0-3, cpu:0,cpu:1, gpu:0,1 …"
)
@option("--model", "--model-dir", "model", metavar="FOLDER", help="The model folder, or the name STFPM.")
@option("--batch-size", type=int, help="Frames a device call at most.")
@option("--use-hpip", is_flag=True, help="High performance: engine and precision auto.")
@click.option("--engine", help="auto, paddle, openvino or onnxruntime: what runs the model.")
@click.option("--precision", help="auto, fp32, bf16, fp16 or int8: what it computes in.")
@click.option("--workers", is_flag=True, help="Start workers too where a Redis is named.")
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with settings; also LINE_CONFIG.")
@click.option("--redis", "redis_url", metavar="URL", help="Where Redis is; also LINE_REDIS__URL.")
@click.option("--line", metavar="NAME", help="The line's name; also LINE_LINE.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error; also LINE_LOG__LEVEL.")
def serve(
    pipeline: str,
    config: Path | None,
    workers: bool,
    host: str | None,
    port: int | None,
    redis_url: str | None,
    line: str | None,
    log_level: str | None,
    **model_flags: Any,
) -> None:
    """Serve verdicts over HTTP, as PaddleX's anomaly detection service does."""
    from worker.gateway.extra import check_installed
    from worker.pipeline.config import read_config

    check_installed()
    given = {"gateway.host": host, "gateway.port": port, "redis.url": redis_url, "line": line, "log.level": log_level}
    flags = {name: value for name, value in given.items() if value is not None}
    settings, origin = load(flags, config)
    own_redis = origin["redis.url"] == "default"
    chosen = read_config(pipeline)
    if chosen.visualize is not None:
        flags["gateway.visualize"] = chosen.visualize
    if not own_redis and not workers:
        if unused := [name for name, value in model_flags.items() if value]:
            click.echo(f"Note: {', '.join(unused)}: for workers, which --workers would start here", err=True)
        _serve_line(load(flags, config)[0])
        return
    # In the file of a name, which is ours, stands nothing that a user has chosen.
    flags |= (_from_file(chosen) if pipeline != PIPELINE else {}) | _from_flags(**model_flags)
    if origin["metrics.port"] == "default" and not _is_free(settings.metrics.host, settings.metrics.port):
        flags["metrics.port"] = 0  # another line's workers have it, and nobody asked for it here
    settings, _ = load(flags, config)  # what is wrong there is told before a model is fetched
    flags["model"] = str(_model(model_flags["model"], chosen, settings))
    _serve_whole(flags, config, own_redis)


def _serve_line(settings: Settings) -> None:
    from worker.gateway.alone import serve as serve_line

    stop = stop_on_signals()
    _begin(settings)
    serve_line(settings, stop, click.echo)


def _serve_whole(flags: dict[str, Any], config: Path | None, own_redis: bool) -> None:
    from worker.gateway.alone import serve_whole

    stop = stop_on_signals()
    _begin(load(flags, config)[0])
    serve_whole(lambda more: load(flags | more, config)[0], config, own_redis, stop, click.echo)


def _begin(settings: Settings) -> None:
    from worker import logs
    from worker.gateway.server import is_open_to_all

    logs.configure(settings.log, process="serve")
    if is_open_to_all(settings.gateway):
        click.echo(
            f"WARNING: {settings.gateway.host} is more than this machine, and no key is asked for: whoever reaches the "
            f"port can use the line. `line-worker keys` makes keys; gateway.keys_file asks for them",
            err=True,
        )


def _from_flags(
    *, use_hpip: bool, devices: str | None, batch_size: int | None, engine: str | None, precision: str | None, **_: Any
) -> dict[str, Any]:
    """What the flags about workers come to, as settings."""
    flags = {
        "devices": devices,
        "batch.max_batch": batch_size,
        "engine": engine or (ANY if use_hpip else None),
        "precision": precision or (ANY if use_hpip else None),
    }
    return {name: value for name, value in flags.items() if value is not None}


def _from_file(config: PipelineConfig) -> dict[str, Any]:
    """A pipeline's YAML file as settings."""
    flags = {
        "devices": config.device,
        "engine": config.engine or (ANY if config.use_hpip else None),
        "precision": config.precision or (ANY if config.use_hpip else None),
        "threshold": config.threshold,
        # In PaddleX's files it is always 1, which is all that it can do: that is nobody's choice.
        "batch.max_batch": config.batch_size if config.batch_size > 1 else None,
    }
    return {name: value for name, value in flags.items() if value is not None}


def _model(given: str | None, config: PipelineConfig, settings: Settings) -> Path:
    """The folder of the model that is wanted; the official one where nobody names any, and then it may be fetched."""
    from worker.pipeline.official import STFPM, model_folder

    named = config.model if config.model != STFPM else None
    wanted = given or named or settings.model or STFPM
    if str(wanted) == STFPM and not Path(STFPM).is_dir():
        click.echo(f"model      {STFPM}, from the cache or PaddleX's server …")
    return model_folder(wanted, settings.cache_folder).resolve()


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
