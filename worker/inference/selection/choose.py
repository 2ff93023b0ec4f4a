"""Which engine and precision to use: the fastest here that passes the gate.

The decision is made anew at each start, from the measurements that the cache keeps, and from the limits and the
threshold that are in force then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from worker.devices import Device
from worker.errors import EngineRefused, SettingsError
from worker.inference.bundle import Bundle, load_bundle, sha256
from worker.inference.engines import ENGINES, PRECISIONS, REFERENCE, Variant, available, open_engine
from worker.inference.predictor import Predictor
from worker.inference.selection.cache import EngineCache
from worker.inference.selection.golden import read_golden
from worker.inference.selection.measure import Measurement
from worker.inference.selection.parity import Parity, Scores, compare, refusal
from worker.settings import ANY, GateSettings, Settings

log = structlog.get_logger()

_DIGEST_SHOWN = 12  # hex digits: tells two models of one name apart
_AS_FAST = 1.05  # within this the more exact one is taken: what it costs could hardly be measured


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant that was looked at. `refused` says why it may not be used, and is empty where it may."""

    variant: Variant
    frame_ms: float
    parity: Parity | None
    refused: str

    def figures(self) -> dict[str, Any]:
        """For the log and the metrics."""
        figures: dict[str, Any] = {"engine": self.variant.engine, "precision": self.variant.precision}
        if math.isfinite(self.frame_ms):
            figures["frame_ms"] = round(self.frame_ms, 3)
        return figures | (self.parity.as_dict() if self.parity else {}) | {"refused": self.refused}


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, from which candidates, and the bundle with the graphs that were made for it."""

    variant: Variant
    candidates: list[Candidate]
    bundle: Bundle

    def as_dict(self) -> dict[str, Any]:
        """For the supervisor, which shows it on the metrics."""
        return {
            "model": self.bundle.identity,
            "digest": sha256(self.bundle.parameters)[:_DIGEST_SHOWN],
            "engine": self.variant.engine,
            "precision": self.variant.precision,
            "candidates": [candidate.figures() for candidate in self.candidates],
        }


def choose(bundle: Bundle, device: Device, settings: Settings) -> Choice:
    """Find the engine and precision for this bundle on this device, measuring what was not measured before.

    Raises:
        EngineRefused: none that the settings allow is there and passes the gate; says what each was refused for.
    """
    bundle, candidates = look_at_all(bundle, device, settings)
    chosen = fastest(candidates)
    for candidate in candidates:
        if candidate.refused:
            log.warning("engine refused", **candidate.figures())
    if chosen is None:
        raise EngineRefused(_nothing_left(candidates, bundle, device, settings))
    log.info("engine chosen", **chosen.figures())
    return Choice(chosen.variant, candidates, bundle)


def open_chosen(settings: Settings, device: Device) -> tuple[Predictor, Choice]:
    """The model of the settings on the device, with the engine and precision that were chosen for it.

    Raises:
        SettingsError: no model is named.
        LineError: see `choose` and `open_engine`.
    """
    if settings.model is None:
        raise SettingsError("model: name a model folder with --model or LINE_MODEL")
    choice = choose(load_bundle(settings.model), device, settings)
    engine = open_engine(choice.variant, choice.bundle, device)
    return Predictor(choice.bundle, engine, settings.threshold), choice


def look_at_all(bundle: Bundle, device: Device, settings: Settings) -> tuple[Bundle, list[Candidate]]:
    """Every variant that the settings allow, the most exact first, and the bundle with the graphs made for them."""
    if settings.engine == REFERENCE.engine and settings.precision == REFERENCE.precision and bundle.golden is None:
        return bundle, [Candidate(REFERENCE, math.nan, None, "")]  # there is nothing to hold it against but itself
    with EngineCache.opened(settings.cache_folder, bundle, device, settings.batch.max_batch) as cache:
        bundle = cache.bundle_with_graphs(needed=settings.engine != REFERENCE.engine)
        measured = [cache.measured(variant) for variant in _allowed(bundle, device, settings)]
        reference = read_golden(bundle).scores
        if reference is None:
            reference = _scores(cache.measured(REFERENCE))
    own = sorted({bundle.threshold, *bundle.camera_thresholds.values()})
    thresholds = own if settings.threshold is None else [settings.threshold]
    return bundle, [judge_at_each(one, reference, thresholds, settings.gate) for one in measured]


def judge_at_each(
    measured: Measurement, reference: Scores, thresholds: Sequence[float], gate: GateSettings
) -> Candidate:
    """Judged at each threshold that a camera has: refused where any refuses it, else where most verdicts flip."""
    judged = [judge(measured, reference, threshold, gate) for threshold in thresholds]
    return max(judged, key=lambda one: (bool(one.refused), one.parity.flips if one.parity else 0.0))


def judge(measured: Measurement, reference: Scores, threshold: float, gate: GateSettings) -> Candidate:
    """Hold a measurement against the reference scores."""
    if measured.problem:
        return Candidate(measured.variant, math.inf, None, measured.problem)
    if len(measured.scores) != len(reference):
        problem = f"{len(measured.scores)} scores for {len(reference)} golden frames"
        return Candidate(measured.variant, math.inf, None, problem)
    parity = compare(np.array(measured.scores), reference, threshold)
    return Candidate(measured.variant, measured.frame_ms, parity, refusal(parity, measured.precision, gate))


def fastest(candidates: Iterable[Candidate]) -> Candidate | None:
    """The fastest that was not refused; of those about as fast the one that comes first."""
    passed = [candidate for candidate in candidates if not candidate.refused]
    limit = min((candidate.frame_ms for candidate in passed), default=0.0) * _AS_FAST
    return next((candidate for candidate in passed if not candidate.frame_ms > limit), None)


def _allowed(bundle: Bundle, device: Device, settings: Settings) -> list[Variant]:
    def order(variant: Variant) -> tuple[int, int]:
        return PRECISIONS.index(variant.precision), ENGINES.index(variant.engine)

    return sorted(
        (
            variant
            for variant in available(bundle, device)
            if settings.engine in (ANY, variant.engine) and settings.precision in (ANY, variant.precision)
        ),
        key=order,
    )


def _scores(measured: Measurement) -> Scores:
    if measured.problem:
        raise EngineRefused(f"{REFERENCE}, against which all others are held, does not run: {measured.problem}")
    return np.array(measured.scores)


def _nothing_left(candidates: list[Candidate], bundle: Bundle, device: Device, settings: Settings) -> str:
    wanted = f"engine {settings.engine}, precision {settings.precision}, device {device}, model {bundle.folder}"
    if candidates:
        return f"{wanted}: " + "; ".join(f"{one.variant} refused: {one.refused}" for one in candidates)
    there = ", ".join(map(str, available(bundle, device)))
    return (
        f"{wanted}: there is none such here, only {there}. Engines are extras (pip install "
        "'line-worker[openvino,onnxruntime,export]'); int8 takes `line-worker optimize MODEL --images GOOD`"
    )
