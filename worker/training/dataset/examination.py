"""What is in a data set and what is wrong with it: counts and sizes, and findings in the order of their weight."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from worker.settings import LimitSettings
from worker.training.dataset.duplicates import NearDuplicate, near_duplicates, same_pixels
from worker.training.dataset.outliers import FEWEST, Outlier, find_outliers
from worker.training.dataset.samples import Dataset, Part
from worker.training.dataset.survey import Survey, survey
from worker.training.names import printable


class Weight(StrEnum):
    """An error keeps a model from being trained or judged rightly; a warning is for a person to look at."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong. `topic` is a token to filter by; `lines` has an entry for each image or pair in question."""

    weight: Weight
    topic: str
    message: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Examination:
    """All that is known of a data set. Numbers of images are places in `dataset.samples`; `outliers` have theirs in
    `learned`, the readable good images that are learned from, each picture once."""

    dataset: Dataset
    seen: Survey
    same: list[list[int]]
    near: list[NearDuplicate]
    learned: list[int]
    outliers: list[Outlier]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether there are warnings at most."""
        return all(finding.weight is not Weight.ERROR for finding in self.findings)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many images of each kind each part has."""
        found = Counter((sample.part, sample.kind) for sample in self.dataset.samples)
        return {part: {kind: found[part, kind] for one, kind in sorted(found) if one is part} for part in Part}

    def sizes(self) -> list[tuple[tuple[int, int], int]]:
        """(width, height) of the images that can be read, and how many have it; the commonest first."""
        return Counter((look.width, look.height) for look in self.seen.looks if look).most_common()

    def colours(self) -> tuple[int, int]:
        """How many are in colour, and how many are grey."""
        coloured = [look.is_colour for look in self.seen.looks if look]
        return sum(coloured), len(coloured) - sum(coloured)


def examine(
    dataset: Dataset, faults: Sequence[str], limits: LimitSettings, advance: Callable[[], object] = lambda: None
) -> Examination:
    """Read every image of a data set and say what is wrong with it.

    Args:
        faults: what was wrong with the lines of its lists.
        advance: called after each image.

    Raises:
        SettingsError: there is no room for temporary files.
    """
    seen = survey(dataset.samples, limits, advance)
    same = same_pixels(seen.looks)
    copies = {index for group in same for index in group[1:]}
    once = [index for index, look in enumerate(seen.looks) if look and index not in copies]
    learned = [one for one in once if dataset.samples[one].part is Part.TRAIN and dataset.samples[one].is_good]
    tests = [one for one in once if dataset.samples[one].part is Part.TEST]
    near = near_duplicates(seen.greys, learned, tests)
    looks = [look for one in learned if (look := seen.looks[one])]
    outliers = find_outliers(looks, [seen.greys[one] for one in learned])
    names = _Names(dataset)
    findings = (
        *_of_files(dataset, faults, seen, names),
        *_of_masks(seen, names),
        *_of_images(len(learned), seen),
        *_of_copies(dataset, same, near, names),
        *_of_outliers(learned, outliers, names),
        *_of_layout(dataset),
    )
    ordered = tuple(sorted(findings, key=lambda finding: finding.weight is not Weight.ERROR))
    return Examination(dataset, seen, same, near, learned, outliers, ordered)


class _Names:
    """How an image is called in a report: by its path from the data set's folder on."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, number: int) -> str:
        return self.of(self._dataset.samples[number].path)

    def of(self, path: Path) -> str:
        inside = path.is_relative_to(self._dataset.folder)
        return printable(str(path.relative_to(self._dataset.folder) if inside else path))


def _of_files(dataset: Dataset, faults: Sequence[str], seen: Survey, names: _Names) -> list[Finding]:
    found = []
    if faults:
        told = tuple(printable(fault) for fault in faults)
        found.append(Finding(Weight.ERROR, "lists", "lines of the lists that cannot be used", told))
    if seen.unreadable:
        told = tuple(
            f"{names[one]}: {printable(why.removeprefix(f'{dataset.samples[one].path}: '))}"
            for one, why in seen.unreadable.items()
        )
        found.append(Finding(Weight.ERROR, "unreadable", "images that cannot be read", told))
    if closed := _closed_folders(dataset.folder):
        told = tuple(names.of(path) for path in closed)
        found.append(Finding(Weight.ERROR, "closed", "folders that may not be read, so that nothing of them is", told))
    if dataset.strays:
        told = tuple(names.of(path) for path in dataset.strays)
        message = f"not used: without a place in the {dataset.layout} layout, of another format, or behind a link"
        found.append(Finding(Weight.WARNING, "strays", message, told))
    return found


def _closed_folders(folder: Path) -> list[Path]:
    errors: list[OSError] = []
    for _ in os.walk(folder, onerror=errors.append):
        pass
    return sorted(Path(error.filename) for error in errors)


def _of_masks(seen: Survey, names: _Names) -> list[Finding]:
    found = []
    for serious, weight, message in (
        (True, Weight.ERROR, "masks that do not fit"),
        (False, Weight.WARNING, "masks that leave something open"),
    ):
        told = tuple(
            f"{names[one]}: {printable(fault.what)}" for one, fault in seen.masks.items() if fault.serious is serious
        )
        if told:
            found.append(Finding(weight, "masks", message, told))
    return found


def _of_images(learned: int, seen: Survey) -> list[Finding]:
    found = []
    if not learned:
        found.append(Finding(Weight.ERROR, "few", "there is no good image to learn from that can be read"))
    elif learned < FEWEST:
        message = (
            f"{learned} different good images are few to learn from; outliers are looked for among {FEWEST} or more"
        )
        found.append(Finding(Weight.WARNING, "few", message))
    colour = sum(look.is_colour for look in seen.looks if look)
    grey = sum(not look.is_colour for look in seen.looks if look)
    if colour and grey:
        message = f"{colour} images are in colour and {grey} are grey: were they all taken by the camera of the line?"
        found.append(Finding(Weight.WARNING, "colour", message))
    return found


def _of_copies(dataset: Dataset, same: list[list[int]], near: list[NearDuplicate], names: _Names) -> list[Finding]:
    found = []
    for across, topic, message in (
        (True, "leaks", "tests that are learned from too: their figures would flatter"),
        (False, "duplicates", "pictures that are there more than once"),
    ):
        groups = [group for group in same if (len({dataset.samples[one].part for one in group}) > 1) is across]
        told = tuple(" = ".join(names[one] for one in group) + _contradiction(dataset, group) for group in groups)
        if told:
            found.append(Finding(Weight.WARNING, topic, message, told))
    if near:
        told = tuple(f"{names[one.test]} ≈ {names[one.learned]} (likeness {one.likeness:.4f})" for one in near)
        message = "tests that are nearly a picture that is learned from (the same part?): their figures would flatter"
        found.append(Finding(Weight.WARNING, "near-duplicates", message, told))
    return found


def _contradiction(dataset: Dataset, group: list[int]) -> str:
    kinds = sorted({dataset.samples[one].kind for one in group})
    return f" (said to be {' and '.join(map(printable, kinds))})" if len(kinds) > 1 else ""


def _of_outliers(learned: list[int], outliers: list[Outlier], names: _Names) -> list[Finding]:
    if not outliers:
        return []
    told = tuple(f"{names[learned[one.index]]}: {one.reason} (score {one.score:.1f})" for one in outliers)
    message = "good images that look unlike the rest (defects among what is learned from?)"
    return [Finding(Weight.WARNING, "outliers", message, told)]


def _of_layout(dataset: Dataset) -> list[Finding]:
    if not dataset.doubtful:
        return []
    told = tuple(printable(str(one)) for one in dataset.doubtful)
    message = "folders that do not say good, where all images would be learned from as good ones (the plain layout)"
    return [Finding(Weight.ERROR, "plain", message, told)]
