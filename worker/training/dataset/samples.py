"""What a data set is made of, whatever its layout."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

GOOD = "good"
NOT_GOOD = {"test", "ground_truth", "defect", "defects", "defective", "bad", "ng", "nok", "reject", "rejects"} | {
    "anomaly",
    "anomalous",
    "broken",
    "faulty",
}
"""Names of folders, in lower case, that good images are not kept in."""

DEFECT = "defect"  # the kind of a listed image whose folder does not name one


class Layout(StrEnum):
    """How a data set lies on disk."""

    MVTEC = "mvtec"
    PADDLEX = "paddlex"
    PLAIN = "plain"


class Part(StrEnum):
    """What an image is for. PaddleX's `val` is `test` here: it is what a model is judged on."""

    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a data set. `kind` is `good` or the defect's name; `mask` (nonzero = anomaly) is None where there is
    none, which for a good image means that nothing is wrong anywhere."""

    path: Path
    part: Part
    kind: str = GOOD
    mask: Path | None = None

    @property
    def is_good(self) -> bool:
        """Whether it shows a good part."""
        return self.kind == GOOD


@dataclass(frozen=True)
class Dataset:
    """A data set that was found; nothing of it was decoded yet, apart from the masks of PaddleX's lists.

    `strays` are image files of the folder that the layout gives no place: they are not used.
    """

    folder: Path
    layout: Layout
    samples: tuple[Sample, ...]
    strays: tuple[Path, ...] = field(default=())

    @cached_property
    def learned(self) -> tuple[Sample, ...]:
        """The good images to learn from."""
        return tuple(sample for sample in self.samples if sample.part is Part.TRAIN and sample.is_good)

    @cached_property
    def doubtful(self) -> tuple[Path, ...]:
        """Folders of a plain layout, from its own on, whose images are probably not all good: their names say so, or
        there is one called `good` beside them."""
        if self.layout is not Layout.PLAIN:
            return ()
        folders = {one for sample in self.samples for one in sample.path.relative_to(self.folder).parents if one.name}
        beside_good = {one.parent for one in folders if one.name.lower() == GOOD}
        return tuple(
            one
            for one in sorted(folders)
            if one.name.lower() in NOT_GOOD or (one.parent in beside_good and one.name.lower() != GOOD)
        )

    @cached_property
    def tests(self) -> tuple[Sample, ...]:
        """What a model is judged on."""
        return tuple(sample for sample in self.samples if sample.part is Part.TEST)
