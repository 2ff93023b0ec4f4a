"""`check_dataset_result.json` as PaddleX writes it, what it does not know under `line_worker`, and the pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worker.errors import SourceError
from worker.settings import LimitSettings
from worker.training.dataset.examination import Examination
from worker.training.dataset.outputs import unwritable
from worker.training.dataset.samples import Part
from worker.training.dataset.sheet import contact_sheet, outlined
from worker.training.names import printable
from worker.types import Image

RESULT = "check_dataset_result.json"
SHEET = "contact_sheet.jpg"
_PICTURES = "check_dataset/demo_img"  # where PaddleX puts them
_SHOWN, _SIDE = 10, 512
_SIZES = 10
_PART_NAMES = {Part.TRAIN: "train", Part.TEST: "val"}


def write_result(examination: Examination, output: Path, limits: LimitSettings) -> None:
    """Write the result, the contact sheet and ten pictures of each part to a folder that is there and empty.

    Raises:
        SettingsError: it cannot be written to.
    """
    try:
        _write_picture(output / SHEET, contact_sheet(examination, limits))
        paths = {part: _write_samples(examination, part, output, limits) for part in Part}
        text = json.dumps(paddlex_result(examination, paths), indent=2)
        (output / RESULT).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise unwritable(output, error) from error


def paddlex_result(examination: Examination, paths: dict[Part, list[str]] | None = None) -> dict[str, Any]:
    """PaddleX's fields: `attributes` of a data set that passed, `err_type` and `err_msg` of one that did not.

    `num_classes` counts the labels in the masks of the tests but 255, as PaddleX does: 1 where the masks are of 0 and
    255, 2 where they are of 0 and 1.
    """
    attributes: dict[str, Any] = {}
    for part, name in _PART_NAMES.items():
        if count := sum(sample.part is part for sample in examination.dataset.samples):
            attributes[f"{name}_samples"] = count
            attributes[f"{name}_sample_paths"] = (paths or {}).get(part, [])
    attributes["num_classes"] = len(examination.seen.labels)
    failed = [finding for finding in examination.findings if finding.weight == "error"]
    verdict: dict[str, Any] = {"done_flag": True, "check_pass": examination.passed}
    if failed:
        message = "; ".join(f"{finding.message}: {len(finding.lines)}" for finding in failed)
        verdict |= {"err_type": "CheckFailedError", "err_msg": message}
    return verdict | {
        "attributes": attributes,
        "analysis": {"contact_sheet": SHEET} if paths is not None else {},
        "dataset_path": printable(examination.dataset.folder.resolve().name),
        "show_type": "image",
        "dataset_type": "SegDataset",
        "line_worker": facts(examination),
    }


def facts(examination: Examination) -> dict[str, Any]:
    """What PaddleX does not know: counts by kind, sizes, and each finding in full."""
    sizes, (colour, grey) = examination.sizes(), examination.colours()
    return {
        "layout": examination.dataset.layout.value,
        "counts": examination.counts(),
        "distinct_sizes": len(sizes),
        "commonest_sizes": [
            {"width": width, "height": height, "images": count} for (width, height), count in sizes[:_SIZES]
        ],
        "colour": colour,
        "grey": grey,
        "findings": [
            {
                "weight": finding.weight.value,
                "topic": finding.topic,
                "message": finding.message,
                "count": len(finding.lines),
                "lines": list(finding.lines),
            }
            for finding in examination.findings
        ],
    }


def _write_samples(examination: Examination, part: Part, output: Path, limits: LimitSettings) -> list[str]:
    """Pictures from all over a part, with their masks' outlines; their paths from `output` on."""
    samples = [
        sample
        for sample, look in zip(examination.dataset.samples, examination.seen.looks, strict=True)
        if look and sample.part is part
    ]
    written = []
    for number, place in enumerate(np.linspace(0, len(samples) - 1, min(len(samples), _SHOWN)).round().astype(int)):
        try:
            picture = outlined(samples[place], limits, _SIDE)
        except SourceError:  # gone since it was examined
            continue
        name = f"{_PICTURES}/{_PART_NAMES[part]}_{number}.jpg"
        _write_picture(output / name, picture)
        written.append(name)
    return written


def _write_picture(path: Path, picture: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpg", picture[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, 90))
    path.write_bytes(data.tobytes())
