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
from worker.bench.variants import ALL, AUTO, Variant, parse_variants
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
    """As the command has them; `loads` in percent; None where not given."""

    model: Path | None = None
    devices: str | None = None
    variants: str | None = None
    images: Path | None = None
    shapes: str = "1024,model"
    frames: int = 64
    seconds: float = 3.0
    rounds: int = 5
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
    busy = os.getloadavg()[0]
    settings = load({"model": options.model and str(options.model), "devices": options.devices})
    decided = {"model": str((settings.model or MODEL).resolve()), "devices": settings.devices}
    settings = load(decided)
    variants, loads = _variants(options, settings), _parse_loads(options.loads)
    for variant in variants:
        if variant != ALL:
            load(decided | variant.flags)  # so that a wrong one is told before anything is measured
    for device in parse_devices(settings.devices):
        check_cores(device)
    bundle = load_bundle(Path(decided["model"]))
    shapes = parse_shapes(options.shapes, bundle.transforms.size)
    with tempfile.TemporaryDirectory(prefix="line-worker-bench-") as scratch:
        folder = Path(scratch)
        count = write_frames(folder / "frames", shapes, options.images, options.frames, settings.limits)
        tell(f"{count} frames of {' and '.join('{}×{}'.format(*shape.size) for shape in shapes)} pixels")
        plan = Plan(
            load, decided, bundle.folder, shapes, folder / "frames", folder, options.seconds, options.rounds, loads,
            options.paddlex, stop, tell,
        )  # fmt: skip
        measuring = _Measuring(plan)
        for variant in variants:
            measuring.take(variant)
    conditions = {"load_average_before": round(busy, 2), "model": bundle.identity, "pictures": count}
    conditions |= {"shapes": {shape.name: "{}x{}".format(*shape.size) for shape in shapes}}
    return _report(measuring, conditions | _conditions(options, settings))


class _Measuring:
    """Measures variant after variant. The first is the main one and must run; what is not to be had of the others is
    kept in `refused`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.found: list[Found] = []
        self.refused: list[dict[str, str]] = []

    def take(self, variant: Variant) -> None:
        """Measure one; for `all` what `auto` chooses, and then every other that it could have chosen."""
        found = self._measure(AUTO if variant == ALL else variant)
        if variant != ALL or found is None:
            return
        for one in found.candidates:
            candidate = Variant(one["engine"], one["precision"])
            if one["refused"]:
                self._refuse(candidate, one["refused"])
            elif candidate not in self._known():
                self._measure(candidate)

    def _measure(self, variant: Variant) -> Found | None:
        main = self.found[0] if self.found else None
        paddlex_fps = main.rows[0]["paddlex_fps"] if main else None
        try:
            found = measure(self._plan, variant, paddlex_fps, is_main=main is None, known=self._known())
        except LineError as error:
            if main is None:
                raise
            self._refuse(variant, str(error))
            return None
        self.found.append(found)
        return found

    def _known(self) -> set[Variant]:
        return {one.chosen for one in self.found}

    def _refuse(self, variant: Variant, why: str) -> None:
        self.refused.append({"engine": variant.engine, "precision": variant.precision, "why": why})
        self._plan.tell(f"{variant}: {why}")


def _report(measuring: _Measuring, conditions: dict[str, Any]) -> dict[str, Any]:
    """The main variant's figures first, then what they hold for, then every row."""
    rows = [row for one in measuring.found for row in one.rows]
    report = {name: rows[0][name] for name in TOP} | {"versions": _versions(measuring.found)}
    return report | {"conditions": conditions, "variants": rows, "refused": measuring.refused}


def _conditions(options: BenchOptions, settings: Settings) -> dict[str, Any]:
    return {
        "images": str(options.images) if options.images else "generated",
        "devices": settings.devices,
        "max_batch": settings.batch.max_batch,
        "max_wait_ms": settings.batch.max_wait_ms,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _variants(options: BenchOptions, settings: Settings) -> list[Variant]:
    return parse_variants(options.variants) if options.variants else [Variant(settings.engine, settings.precision)]


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
