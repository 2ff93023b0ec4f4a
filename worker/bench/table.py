"""The report on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_QUIET = 0.5
_FOREIGN = 0.05


def warn_if_busy(console: Console, load_average: float) -> None:
    """Say how busy the machine is before anything is measured."""
    if load_average > _QUIET:
        console.print(
            f"[yellow]load average {load_average:.2f}: something else is at work here: figures will be lower, "
            "and ratios less certain[/]"
        )
    else:
        console.print(f"load average {load_average:.2f}: a quiet machine")


def show(console: Console, report: dict[str, Any]) -> None:
    """The figures, most important first."""
    console.print(_rates(report["variants"]))
    for one in report["refused"]:
        console.print(f"not measured: {one['engine']}:{one['precision']}: {one['why']}", highlight=False)
    if any(row["camera_was_the_limit"] for row in report["variants"]):
        console.print("[yellow]the camera did not keep the queue filled: the pipeline may be faster than measured[/]")
    if (share := max(row["cpu"]["others_share"] for row in report["variants"])) > _FOREIGN:
        console.print(f"[yellow]other processes took up to {share:.0%} of the CPUs: repeat this on a quiet machine[/]")
    console.print(_latencies(report["latency_ms"]))
    for name, value in _lines(report):
        console.print(f"{name:<12} {value}", highlight=False, soft_wrap=True)


def _lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the main variant took for the first shape of frames."""
    main, rss = report["variants"][0], report["rss_mb"]
    shape, start = report["conditions"]["shapes"][main["frames"]], main["start_s"]
    yield "alone", f"a frame that comes alone takes the engine {report['latency_ms']['engine_single']} ms"
    yield "stages", f"{_listed(report['stages_ms'])} ms, a frame of {shape} at full load"
    yield "CPU", f"{_listed(report['cpu']['ms_per_frame'])} ms a frame, on {report['cpu']['cores']} cores"
    workers = f"{rss['worker']:.0f} MB (at most {rss['worker_peak']:.0f})"
    yield "memory", f"a worker {workers}, the supervisor {rss['supervisor']:.0f} MB"
    yield "start", f"ready after {start['ready']} s, first verdict after {start['first_verdict']} s"
    if report["paddlex_fps"] is None:
        yield "PaddleX", "not measured: --paddlex PYTHON names a Python that has it"


def _rates(rows: list[dict[str, Any]]) -> Table:
    table = _table("frames a second, medians", "variant")
    for name in ("frames", "engine", "limit", "pipeline", "/limit", "/engine", "PaddleX", "/PaddleX"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        times = row["ratio_to_paddlex"]
        table.add_row(
            f"{row['engine']}:{row['precision']}",
            row["frames"],
            *(f"{row[name]:.1f}" for name in ("engine_fps", "limit_fps", "pipeline_fps")),
            *(f"{row[name]:.3f}" for name in ("ratio_to_limit", "ratio_to_engine")),
            "-" if times is None else f"{row['paddlex_fps']:.1f}",
            "-" if times is None else f"{times:.2f}",
        )
    return table


def _latencies(latency: dict[str, Any]) -> Table:
    table = _table("publish to verdict", "load")
    for name in ("frames/s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in latency["curve"]:
        table.add_row(f"{point['load']} %", f"{point['fps']:.1f}", f"{point['p50']:.0f}", f"{point['p99']:.0f}")
    return table


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    table.add_column(first, no_wrap=True)
    return table


def _listed(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.2f}" for name, value in figures.items())
