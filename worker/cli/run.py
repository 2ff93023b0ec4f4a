"""`line-worker run`: the supervisor and its workers."""

from __future__ import annotations

from pathlib import Path

import click
import structlog

from worker.cli.common import settings_options, stop_on_signals
from worker.settings import Settings


@click.command(
    epilog="""\b
Examples:
  line-worker run --model ./bundle                       one worker on all cores
  line-worker run --model ./bundle --devices cpu:0,cpu:1 two workers, a core each
  line-worker run --model ./bundle --devices gpu:0,1     two workers, a GPU each
  line-worker run --model demo                           the generated parts' model, for a try with test:// cameras
  LINE_REDIS__URL=redis://10.0.0.5:6379/0 line-worker run --config line.yml

SIGTERM drains: no new frames are read, those in hand get their verdicts. A second signal ends at once."""
)
@click.option("--model", type=click.Path(path_type=Path), help="The model folder, or demo; also LINE_MODEL.")
@click.option("--devices", metavar="LIST", help="One worker each: cpu, cpu:0-3, cpu:0,cpu:1, gpu:0,1 …")
@click.option("--engine", help="auto, paddle, openvino or onnxruntime: what runs the model.")
@click.option("--precision", help="auto, fp32, bf16, fp16 or int8: what it computes in.")
@click.option("--threshold", type=float, help="Overrides the model's own threshold.")
@click.option("--max-batch", type=int, help="Frames a device call at most.")
@click.option("--max-wait-ms", type=float, help="Wait for more frames, from a batch's first.")
@click.option("--metrics-port", type=int, help="Port of the Prometheus endpoint; 0: off.")
@settings_options(
    {
        "model": "model",
        "devices": "devices",
        "engine": "engine",
        "precision": "precision",
        "threshold": "threshold",
        "max_batch": "batch.max_batch",
        "max_wait_ms": "batch.max_wait_ms",
        "metrics_port": "metrics.port",
    }
)
def run(settings: Settings) -> None:
    """Inspect frames: one worker process per device, supervised."""
    from worker import logs
    from worker.runtime.supervisor import Supervisor

    logs.configure(settings.log, process="run")
    Supervisor(_with_model(settings), stop_on_signals()).run()


def _with_model(settings: Settings) -> Settings:
    """The settings with the folder of the model that they name."""
    from worker.demo import is_demo_model, model_folder

    if settings.model is None:
        return settings
    folder = model_folder(settings.model)
    if is_demo_model(folder):
        structlog.get_logger().warning(
            "THE DEMO MODEL IS IN USE: it knows generated parts only, and its verdicts on any others mean nothing; "
            "name a model of your own with --model or LINE_MODEL",
            model=str(folder),
        )
    return settings.model_copy(update={"model": folder})
