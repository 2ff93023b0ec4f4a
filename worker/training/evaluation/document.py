"""An evaluation as a JSON document, and in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worker.training.dataset.samples import Layout
from worker.training.evaluation.evaluate import Evaluation, Judgement
from worker.training.evaluation.figures import Figures, KindFigures
from worker.training.evaluation.metrics import CONFIDENCE, Share
from worker.training.evaluation.texts import name_of
from worker.types import Verdict


def document(evaluation: Evaluation) -> dict[str, Any]:
    """What `evaluation.json` holds: figures, sentences, and the verdict on every image. None is what is not known."""
    raw = evaluation.raw_pixels
    return {
        "model": {
            "name": evaluation.model,
            "folder": str(evaluation.model_folder),
            "threshold": evaluation.figures.threshold,
            "engine": evaluation.engine,
            "precision": evaluation.precision,
            "device": evaluation.device,
        },
        "data": {
            "folder": str(evaluation.data),
            "layout": evaluation.layout.value,
            "digest": evaluation.data_digest,
            "images": evaluation.figures.images,
            "without_mask": evaluation.without_mask,
        },
        "confidence": CONFIDENCE,
        **_figures(evaluation.figures),
        "in_place": _share(evaluation.in_place),
        "raw_pixels": asdict(raw) if raw else None,
        "invalid_reasons": evaluation.invalid_reasons,
        "notes": notes(evaluation),
        "images": [_image(one, evaluation.data) for one in evaluation.judgements],
    }


def notes(evaluation: Evaluation) -> list[str]:
    """What a reader must know to take the figures for what they are."""
    found, bad = evaluation.figures, evaluation.figures.bad
    said = []
    if bad is None:
        said.append(
            "There are only good images: they tell the false-reject rate. How many defects are found, and how well "
            "the scores tell good from bad, cannot be known from them."
        )
    elif not sum(found.good.values()):
        said.append("There is no good image: false rejects, and how well scores tell good from bad, cannot be known.")
    if evaluation.learned:
        said.append(f"The model learned from {evaluation.learned} of these images: of new ones it will reject more.")
    elif evaluation.layout is Layout.PLAIN:
        said.append("The folder has no layout of tests, so all its images are taken to show good parts.")
    if bad and evaluation.without_mask == bad.images:
        said.append("No mask marks a defect: pixels cannot be judged.")
    elif evaluation.without_mask:
        said.append(
            f"{evaluation.without_mask} images of defects have no mask, or an empty one: no pixel of theirs is judged."
        )
    if elsewhere := evaluation.in_place.of - evaluation.in_place.count:
        said.append(
            f"Of {evaluation.in_place.of} defects found that have a mask, {elsewhere} were found elsewhere only: what "
            "is marked was missed there, and something else rejected the part."
        )
    if found.invalid:
        reasons = ", ".join(f"{word} {count}" for word, count in evaluation.invalid_reasons.items())
        said.append(
            f"{found.invalid} of {found.images} images would be INVALID on a line ({reasons}). They count as not found "
            "where they show a defect, and are left out of the false-reject rate; ranked is whatever has a score."
        )
    if evaluation.camera_thresholds:
        said.append(
            f"The model has thresholds of their own for {evaluation.camera_thresholds} cameras: here one is in force "
            "for all images."
        )
    if not evaluation.is_calibrated:
        said.append("The model was never calibrated: PaddleX's threshold is in force.")
    return said


def _figures(found: Figures) -> dict[str, Any]:
    return {
        "all": _kind(found.bad) if found.bad else None,
        "false_rejects": _share(found.false_rejects),
        "confusion": {
            "good": _verdicts(found.good),
            "bad": _verdicts(found.bad.verdicts) if found.bad else None,
        },
        "kinds": {kind.kind: _kind(kind) for kind in found.kinds},
    }


def _kind(figures: KindFigures) -> dict[str, Any]:
    return {
        "images": figures.images,
        "verdicts": _verdicts(figures.verdicts),
        "image_auroc": asdict(figures.auroc) if figures.auroc else None,
        "image_average_precision": figures.average_precision,
        "best_f1": asdict(figures.best_f1) if figures.best_f1 else None,
        "recall": _share(figures.recall),
        "pixels": asdict(figures.pixels) if figures.pixels else None,
    }


def _verdicts(verdicts: Mapping[Verdict, int]) -> dict[str, int]:
    return {verdict.value: count for verdict, count in verdicts.items()}


def _share(share: Share) -> dict[str, Any]:
    low, high = share.interval
    return {"count": share.count, "of": share.of, "value": share.value, "low": low, "high": high}


def _image(one: Judgement, folder: Path) -> dict[str, Any]:
    return {
        "image": name_of(one.sample.path, folder),
        "kind": one.sample.kind,
        "score": one.score if math.isfinite(one.score) else None,
        "verdict": one.verdict.value,
        "problem": one.problem,
        "in_place": one.in_place,
    }
