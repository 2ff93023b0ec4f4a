"""The charts of a report, as SVG. matplotlib is an optional extra."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

import numpy as np

from worker.training.evaluation.evaluate import Evaluation
from worker.training.evaluation.metrics import Floats, Groups, roc_curve

_GOOD, _BAD, _LINE = "#2b6cb0", "#c05621", "#1a202c"
_BINS = 40


def histogram(evaluation: Evaluation) -> bytes:
    """Scores of good and bad images, and the threshold between them; logarithmic where all are above 0."""
    good, bad = _scores(evaluation)
    everything = np.concatenate([good, bad])
    with _style():
        figure = import_module("matplotlib.figure").Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.subplots()
        if len(everything):
            edges = _edges(everything)
            for scores, colour, label in ((good, _GOOD, "good"), (bad, _BAD, "defects")):
                if len(scores):
                    axes.hist(scores, edges, color=colour, alpha=0.6, label=f"{label}, {len(scores)}")
            if everything.min() > 0:
                axes.set_xscale("log")
        axes.axvline(evaluation.figures.threshold, color=_LINE, linestyle="--", label="threshold")
        axes.set(xlabel="score", ylabel="images")
        axes.legend(fontsize="small")
        return _svg(figure)


def roc(evaluation: Evaluation) -> bytes | None:
    """The ROC, and where on it the threshold stands; None where there are not both good and bad images."""
    good, bad = _scores(evaluation)
    if not (len(good) and len(bad)):
        return None
    rates = roc_curve(Groups.of(np.concatenate([good, bad]), np.arange(len(good) + len(bad)) >= len(good)))
    at_threshold = [np.mean(scores > evaluation.figures.threshold) for scores in (good, bad)]
    with _style():
        figure = import_module("matplotlib.figure").Figure(figsize=(3.6, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#a0aec0", linestyle=":")
        axes.plot(*rates, color=_BAD)
        axes.plot(*at_threshold, "o", color=_LINE, label="threshold")
        axes.set(xlabel="good images rejected", ylabel="defects found", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(fontsize="small", loc="lower right")
        return _svg(figure)


def _scores(evaluation: Evaluation) -> tuple[Floats, Floats]:
    """Of good and of bad images, as far as they are finite."""
    finite = [one for one in evaluation.judgements if np.isfinite(one.score)]
    good, bad = ([one.score for one in finite if one.sample.is_good is wanted] for wanted in (True, False))
    return np.array(good, np.float64), np.array(bad, np.float64)


def _edges(scores: Floats) -> Floats:
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        low, high = low - max(abs(low), 1e-6) / 100, high + max(abs(high), 1e-6) / 100
    return np.geomspace(low, high, _BINS + 1) if low > 0 else np.linspace(low, high, _BINS + 1)


def _style() -> Any:
    """The same file for the same figures, with letters that need no font."""
    return import_module("matplotlib").rc_context({"svg.hashsalt": "line-worker", "svg.fonttype": "path"})


def _svg(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
