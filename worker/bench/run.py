"""The whole benchmark: frames, then variant after variant; the report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker import __version__
from worker.bench.frames import parse_shapes, write_frames
from worker.bench.line import Load
from worker.bench.measure import Found, Plan, measure
from worker.bench.variants import ALL, Variant, available, flags, parse_variants
from worker.demo import MODEL
from worker.devices import check_cores, parse_devices
from worker.errors import LineError, SettingsError
from worker.inference.bundle import load_bundle
from worker.settings import Settings

TOP = (
    "engine_fps", "limit_fps", "pipeline_fps", "ratio_to_limit", "ratio_to_engine", "paddlex_fps", "ratio_to_paddlex",
    "latency_ms", "stages_ms", "rss_mb", "cpu",
)  # fmt: skip
"""The main variant's figures for the first shape of frames stand at the top of the report too, with `versions`."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """As the command has them; `loads` in percent, `images` and `paddlex` None where not given."""

    model: Path | None = None
    devices: str | None = None
    variants: str = "auto"
    images: Path | None = None
    shapes: str = "1024,model"
    frames: int = 64
    seconds: float = 6.0
    rounds: int = 3
    loads: str = "25,50,75,90"
    paddlex: Path | None = None


def run_bench(options: BenchOptions, load: Load, tell: Callable[[str], None], stop: threading.Event) -> dict[str, Any]:
    """Measure; the report as JSON-able values.

    Args:
        load: makes settings of flags, over the user's own file and environment.
        tell: takes a line on how it goes.

    Raises:
        SettingsError, BundleError, DeviceError, SourceError: an option cannot be used, said at once.
        LineError: a process ended before its time, with its log's last lines.
        KeyboardInterrupt: `stop` was set; what was started is ended.
    """
    loads, variants = _parse_loads(options.loads), parse_variants(options.variants)
    given = {"model": options.model and str(options.model), "devices": options.devices}
    settings = load(given)
    model = settings.model or MODEL
    decided = {"model": str(model.resolve()), "devices": settings.devices}
    for variant in variants:
        if variant.engine != ALL:
            settings = load(decided | flags(variant))  # so that a wrong one is told before anything is measured
    for device in parse_devices(settings.devices):
        check_cores(device)
    shapes = parse_shapes(options.shapes, load_bundle(model).transforms.size)
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="line-worker-bench-") as scratch:
        folder = Path(scratch)
        count = write_frames(folder / "frames", shapes, options.images, options.frames, settings.limits)
        tell(f"{count} frames of {' and '.join('{}×{}'.format(*shape.size) for shape in shapes)} pixels")
        plan = Plan(
            load, decided, model, shapes, folder / "frames", folder, options.seconds, options.rounds, loads,
            options.paddlex, stop, tell,
        )  # fmt: skip
        found, refused = _measure_all(plan, variants, settings)
    rows = [row for one in found for row in one.rows]
    conditions = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load_average_before": round(busy, 2),
        "model": load_bundle(model).identity,
        "devices": settings.devices,
        "max_batch": settings.batch.max_batch,
        "max_wait_ms": settings.batch.max_wait_ms,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "pictures": count,
        "images": str(options.images) if options.images else "generated",
        "shapes": {shape.name: "{}x{}".format(*shape.size) for shape in shapes},
    }
    return (
        {name: rows[0][name] for name in TOP}
        | {"versions": _versions(found), "conditions": conditions, "variants": rows, "refused": refused}
    )  # fmt: skip


def _measure_all(plan: Plan, variants: list[Variant], settings: Settings) -> tuple[list[Found], list[dict[str, str]]]:
    """The first variant is the main one and must run; what is not to be had of the others is told."""
    found: list[Found] = []
    refused = []
    for variant in _expanded(plan, variants, settings):
        known = {one.chosen for one in found}
        paddlex_fps = found[0].rows[0]["paddlex_fps"] if found else None
        try:
            measured = measure(plan, variant, paddlex_fps, is_main=not found, known=known)
        except LineError as error:
            if not found:
                raise
            refused.append({"variant": str(variant), "why": str(error)})
            plan.tell(f"{variant}: {error}")
        else:
            found += [measured] if measured else []
    return found, refused


def _expanded(plan: Plan, variants: list[Variant], settings: Settings) -> list[Variant]:
    """`all` becomes what `auto` chooses, and every other that is to be had."""
    expanded: list[Variant] = []
    for variant in variants:
        if variant.engine == ALL:
            device = parse_devices(settings.devices)[0]
            expanded += parse_variants("auto") + available(settings, device, plan.folder, plan.stop)
        else:
            expanded.append(variant)
    return list(dict.fromkeys(expanded))


def _parse_loads(text: str) -> list[int]:
    loads = text.replace(" ", "").split(",")
    if not all(load.isdecimal() and 1 <= int(load) <= 99 for load in loads):
        raise SettingsError(f"--loads: {text!r} must be percents from 1 to 99, parted by commas")
    return [int(load) for load in loads]


def _versions(found: list[Found]) -> dict[str, str]:
    ours = {
        "line-worker": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "numpy": importlib.metadata.version("numpy"),
        "opencv": importlib.metadata.version("opencv-python-headless"),
    }
    for one in found:
        ours |= one.versions
    return ours
