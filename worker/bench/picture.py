"""The report as a picture: where a frame's time goes, and its latency over load. matplotlib is an optional extra."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

from worker.errors import SettingsError
from worker.metrics import STAGES


def check_matplotlib() -> None:
    """Raise where there is none, before minutes are spent on figures that cannot be drawn.

    Raises:
        SettingsError: with the command that installs it.
    """
    if find_spec("matplotlib") is None:
        raise SettingsError("--picture takes matplotlib: pip install 'line-worker[report]'")


def draw(report: dict[str, Any], file: BinaryIO) -> None:
    """Write a PNG of the main variant's stages and latencies."""
    figure = import_module("matplotlib.figure").Figure(figsize=(11, 4.5), layout="constrained")
    bars, curve = figure.subplots(1, 2)
    main, points = report["variants"][0], report["latency_ms"]["curve"]
    shape = report["conditions"]["shapes"][main["frames"]]
    figure.suptitle(f"line-worker, {main['engine']} {main['precision']}, frames of {shape} pixels")
    _draw_stages(bars, [(f"{point['load']} %", point["stages_ms"]) for point in points])
    _draw_latencies(curve, points, report["latency_ms"]["engine_single"])
    figure.savefig(file, format="png", dpi=130)


def _draw_stages(axes: Any, loads: list[tuple[str, dict[str, float]]]) -> None:
    names = [name for name, _ in loads]
    left = [0.0] * len(loads)
    for stage in STAGES:
        widths = [stages.get(stage, 0.0) for _, stages in loads]
        axes.barh(names, widths, left=left, label=stage)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set(title="a frame's way, stage by stage", xlabel="ms, mean", ylabel="load")
    axes.legend(fontsize="small", ncols=2)


def _draw_latencies(axes: Any, points: list[dict[str, Any]], single_ms: float) -> None:
    loads = [point["load"] for point in points]
    for name in ("p50", "p99"):
        axes.plot(loads, [point[name] for point in points], marker="o", label=name)
    axes.axhline(single_ms, linestyle=":", color="grey", label="a frame alone in the engine")
    axes.set(
        title="publish to verdict", xlabel="load, % of the pipeline's frames a second", ylabel="ms", ylim=(0, None)
    )
    axes.legend()
