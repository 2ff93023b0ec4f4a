"""An evaluation as one HTML file that needs nothing else: no network, no script. jinja2 is an optional extra."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

from worker.inference.predictor import Predictor
from worker.settings import LimitSettings
from worker.training.evaluation import pictures
from worker.training.evaluation.charts import histogram, roc
from worker.training.evaluation.document import notes
from worker.training.evaluation.evaluate import Evaluation, Judgement
from worker.training.evaluation.figures import JUDGED, KindFigures
from worker.training.evaluation.texts import (
    UNKNOWN,
    figure_text,
    interval_text,
    name_of,
    percent_text,
    share_text,
)
from worker.training.names import printable
from worker.types import Verdict

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_PACKAGES = ("jinja2", "matplotlib")
_BUDGET = 5_000_000  # bytes of pictures before base64 makes 6.7 MB of them
_INVALID = 30  # named at most


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures under a heading; `total` is how many there would be."""

    title: str
    total: int
    pictures: Sequence[dict[str, str]]


def missing_packages() -> list[str]:
    """What a report takes and is not installed here."""
    return [name for name in _PACKAGES if find_spec(name) is None]


def render(evaluation: Evaluation, predictor: Predictor, limits: LimitSettings) -> str:
    """The report of an evaluation, at most about 8 MB of HTML.

    Raises:
        SourceError, EngineError: see `pictures.draw`.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_finalized, trim_blocks=True, lstrip_blocks=True
    )
    scale = pictures.Scale.of(evaluation)
    curve = roc(evaluation)
    found = evaluation.figures
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        model=evaluation.model,
        facts=_facts(evaluation),
        notes=notes(evaluation),
        headline=_headline(evaluation),
        verdicts=JUDGED,
        good=[sum(found.good.values()), *(found.good[verdict] for verdict in JUDGED)],
        rows=[_row(kind.kind, kind) for kind in found.kinds],
        total=_row("all defects", found.bad) if found.bad else None,
        pixels=_pixel_rows(evaluation),
        histogram=_uri(histogram(evaluation), "svg+xml"),
        roc=_uri(curve, "svg+xml") if curve else "",
        galleries=_galleries(evaluation, predictor, scale, limits),
        scale=scale,
        threshold=found.threshold,
        invalid=[(name_of(one.sample.path, evaluation.data), one.problem) for one in _invalid(evaluation)[:_INVALID]],
        invalid_total=found.invalid,
    )


def _finalized(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    return [
        ("model", evaluation.model),
        ("threshold", f"{evaluation.figures.threshold:.6g}"),
        ("engine", f"{evaluation.engine} {evaluation.precision} on {evaluation.device}"),
        ("data", f"{evaluation.data.resolve().name}, {evaluation.figures.images} images, {evaluation.layout}"),
        ("data digest", evaluation.data_digest),
    ]


def _headline(evaluation: Evaluation) -> list[tuple[str, str]]:
    found = evaluation.figures
    figures = [("false rejects", share_text(found.false_rejects))]
    if bad := found.bad:
        figures += [
            ("recall", share_text(bad.recall)),
            ("image AUROC", interval_text(bad.auroc)),
            ("image average precision", figure_text(bad.average_precision)),
            ("best F1", f"{bad.best_f1.value:.3f} at {bad.best_f1.threshold:.4g}" if bad.best_f1 else UNKNOWN),
        ]
    return figures


def _row(name: str, figures: KindFigures) -> list[str | int]:
    pixels = figures.pixels
    return [
        name,
        figures.images,
        *(figures.verdicts[verdict] for verdict in JUDGED),
        percent_text(figures.recall),
        interval_text(figures.auroc),
        figure_text(figures.average_precision),
        figure_text(pixels.auroc if pixels else None),
        figure_text(pixels.average_precision if pixels else None),
        figure_text(pixels.pro if pixels else None),
    ]


def _pixel_rows(evaluation: Evaluation) -> list[list[str]]:
    """Of the opened maps and of the raw ones, each figure with the error of its bins."""
    bad = evaluation.figures.bad
    rows = []
    for name, one in (("opened, as served", bad.pixels if bad else None), ("before opening", evaluation.raw_pixels)):
        if one is not None:
            values = (
                (one.auroc, one.auroc_error),
                (one.pro, one.pro_error),
                (one.average_precision, one.average_precision_error),
            )
            rows.append([name, *(f"{figure_text(value)} (± {error:.0e})" for value, error in values)])
    return rows


def _galleries(
    evaluation: Evaluation, predictor: Predictor, scale: pictures.Scale, limits: LimitSettings
) -> list[Gallery]:
    """Each has a third of the budget, so that none crowds another out."""
    bad, good = evaluation.figures.bad, evaluation.figures.good
    wanted = (
        ("Worst misses", bad.verdicts[Verdict.OK] if bad else 0, pictures.worst_misses(evaluation)),
        ("Worst false rejects", good[Verdict.NG], pictures.worst_false_rejects(evaluation)),
        ("Some of the defects found", bad.verdicts[Verdict.NG] if bad else 0, pictures.some_hits(evaluation)),
    )
    return [
        Gallery(title, total, _within_budget(chosen, evaluation, predictor, scale, limits))
        for title, total, chosen in wanted
        if chosen
    ]


def _within_budget(
    chosen: list[Judgement],
    evaluation: Evaluation,
    predictor: Predictor,
    scale: pictures.Scale,
    limits: LimitSettings,
) -> list[dict[str, str]]:
    left = _BUDGET // 3

    def fits(picture: pictures.Picture) -> bool:
        nonlocal left
        left -= picture.size
        return left >= 0

    shown = takewhile(fits, pictures.draw(chosen, predictor, scale, limits))
    return [_captioned(picture, evaluation) for picture in shown]


def _captioned(picture: pictures.Picture, evaluation: Evaluation) -> dict[str, str]:
    one = picture.judgement
    return {
        "name": name_of(one.sample.path, evaluation.data),
        "kind": one.sample.kind,
        "score": f"{one.score:.4g}" + (", elsewhere than the mask" if one.in_place is False else ""),
        "photograph": _uri(picture.photograph, "jpeg"),
        "heatmap": _uri(picture.heatmap, "jpeg"),
        "outline": _uri(picture.outline, "jpeg"),
    }


def _invalid(evaluation: Evaluation) -> list[Judgement]:
    return [one for one in evaluation.judgements if one.verdict is Verdict.INVALID]


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
