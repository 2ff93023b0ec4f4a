"""The contact sheet: a picture of what was found, to be looked at by a person who knows the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from worker.errors import SourceError
from worker.settings import LimitSettings
from worker.training.data import read_image
from worker.training.dataset.examination import Examination
from worker.training.dataset.samples import Part, Sample
from worker.types import Image

_CELL = 208  # pixels a side of a picture
_CAPTION = 40
_GAP = 10
_COLUMNS = 6
_HEADING = 40
_OUTLIERS, _PAIRS, _SAMES, _SAMPLES, _KINDS = 12, 6, 3, 6, 20  # shown at most
_PAPER, _INK, _FAINT = (255, 255, 255), (25, 25, 25), (110, 110, 110)
_OUTLINE, _MARK = (255, 40, 40), (255, 190, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class _Cell:
    """One picture with its two lines; `mark` is a place in it, (x, y) as shares."""

    sample: Sample
    title: str
    note: str = ""
    mark: tuple[float, float] | None = None


def contact_sheet(examination: Examination, limits: LimitSettings) -> Image:
    """What looks unlike the rest, what is there twice, and some images of each kind with their masks' outlines.

    Returns:
        H×W×3 RGB uint8, 1318 pixels wide.
    """
    rows = [_text_row(f"{examination.dataset.folder.resolve().name}: {len(examination.dataset.samples)} images", 0.9)]
    for heading, cells in _sections(examination):
        if cells:
            rows.append(_text_row(heading, 0.6))
            rows += [_row(cells[at : at + _COLUMNS], limits) for at in range(0, len(cells), _COLUMNS)]
    return np.vstack(rows)


def outlined(sample: Sample, limits: LimitSettings, side: int) -> Image:
    """A sample's picture, at most `side` pixels wide and high, with its mask's outline.

    Raises:
        SourceError: the image cannot be read; a mask that cannot be is left out.
    """
    image = read_image(sample.path, limits)
    scale = min(side / max(image.shape[:2]), 4.0)
    size = tuple(max(1, round(length * scale)) for length in image.shape[1::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    try:
        mask = read_image(sample.mask, limits).any(axis=2) if sample.mask and not sample.is_good else None
    except SourceError:
        mask = None
    if mask is not None:
        wide = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        outlines, _ = cv2.findContours(wide.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outlines, -1, _OUTLINE, 1)
    return np.asarray(small, np.uint8)


def _sections(examination: Examination) -> list[tuple[str, list[_Cell]]]:
    samples = examination.dataset.samples
    odd = [
        _Cell(samples[examination.learned[one.index]], f"score {one.score:.1f}", one.reason, one.where)
        for one in examination.outliers[:_OUTLIERS]
    ]
    near = [
        _Cell(samples[number], f"{samples[number].part}, likeness {pair.likeness:.4f}")
        for pair in examination.near[:_PAIRS]
        for number in (pair.test, pair.learned)
    ]
    same = [
        _Cell(samples[number], f"{samples[number].part}{': the same as' if place == 0 else ''}")
        for group in examination.same[:_SAMES]
        for place, number in enumerate(group[:2])
    ]
    return [
        (f"Unlike the rest of what is learned from ({len(examination.outliers)})", odd),
        (f"Tests that are nearly a picture that is learned from ({len(examination.near)}), in pairs", near),
        (f"Pictures that are there more than once ({len(examination.same)}), in pairs", same),
        *_kinds(examination),
    ]


def _kinds(examination: Examination) -> list[tuple[str, list[_Cell]]]:
    sections = []
    for part in Part:
        for kind, count in examination.counts()[part].items():
            places = [
                place
                for place, sample in enumerate(examination.dataset.samples)
                if sample.part is part and sample.kind == kind and examination.seen.looks[place]
            ]
            some = [
                places[at] for at in np.linspace(0, len(places) - 1, min(len(places), _SAMPLES)).round().astype(int)
            ]
            cells = [_Cell(examination.dataset.samples[place], "") for place in some]
            sections.append((f"{part} / {kind} ({count})", cells))
    return sections[:_KINDS]


def _row(cells: Sequence[_Cell], limits: LimitSettings) -> Image:
    row = _blank(_CELL + _CAPTION + _GAP)
    for column, cell in enumerate(cells):
        left = _GAP + column * (_CELL + _GAP)
        picture = _picture(cell, limits)
        height, width = picture.shape[:2]
        x = left + (_CELL - width) // 2
        row[_CELL - height : _CELL, x : x + width] = picture
        name = cell.sample.path.name
        lines = [line for line in (cell.title, cell.note or name, name if cell.note else "") if line]
        for number, line in enumerate(lines[:3]):
            _write(row, line, (left, _CELL + 13 + 13 * number), 0.36, _FAINT if number else _INK)
    return row


def _picture(cell: _Cell, limits: LimitSettings) -> Image:
    try:
        picture = outlined(cell.sample, limits, _CELL)
    except SourceError:  # gone since it was examined
        return np.full((_CELL, _CELL, 3), 230, np.uint8)
    if cell.mark:
        height, width = picture.shape[:2]
        cv2.circle(picture, (round(cell.mark[0] * width), round(cell.mark[1] * height)), 18, _MARK, 2, cv2.LINE_AA)
    return picture


def _text_row(text: str, size: float) -> Image:
    row = _blank(_HEADING)
    _write(row, text, (_GAP, _HEADING - 12), size, _INK)
    return row


def _blank(height: int) -> Image:
    return np.full((height, _GAP + _COLUMNS * (_CELL + _GAP), 3), _PAPER, np.uint8)


def _write(row: Image, text: str, at: tuple[int, int], size: float, ink: tuple[int, int, int]) -> None:
    """OpenCV's letters are those of ASCII; a text too wide for its cell loses its middle."""
    plain = "".join(one if " " <= one <= "~" else "?" for one in text)
    room = int((_CELL if size < 0.5 else row.shape[1] - 2 * _GAP) / (size * 17.5))
    if len(plain) > room:
        plain = f"{plain[: room // 2 - 1]}..{plain[-(room - room // 2 - 1) :]}"
    cv2.putText(row, plain, at, _FONT, size, ink, 1, cv2.LINE_AA)
