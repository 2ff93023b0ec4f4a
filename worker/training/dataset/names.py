"""File names for images that come from many folders into one, none of which may take another's."""

from __future__ import annotations

import os
import re
from pathlib import Path

from worker.training.dataset.samples import Sample

_LONGEST = 160  # bytes of a stem, so that `_mask.png` and a number fit behind it
_NOT_PLAIN = re.compile(r"[\s\x00-\x1f\x7f]|[\ud800-\udfff]")


class Names:
    """Gives each image of a data set a place `kind/name` of its own.

    Two images never differ in their ending or in upper case alone: their masks are named after the stem, and some file
    systems do not tell cases apart.

    Args:
        plain: no blanks and nothing that is not text, as PaddleX's lists need it.
    """

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain
        self._kinds: dict[str, str] = {}
        self._taken: set[tuple[str, str]] = set()

    def name(self, folder: Path, sample: Sample) -> tuple[str, str]:
        """The kind's folder and the image's name in it, after those that were given before.

        Args:
            folder: the data set's, below which the image's own folders may say more.
        """
        kind = self._kind(sample.kind)
        stem = self._cleaned(sample.path.stem)
        if stem.endswith("_mask"):  # `1_mask.png` would be taken for the mask of `1.png`
            stem += "_"
        if (kind, stem.casefold()) in self._taken and sample.path.parent != folder:
            stem = self._cleaned(f"{sample.path.parent.name}_{stem}")
        unique, number = stem, 1
        while (kind, unique.casefold()) in self._taken:
            number += 1
            unique = f"{stem}-{number}"
        self._taken.add((kind, unique.casefold()))
        return kind, unique + sample.path.suffix

    def _kind(self, kind: str) -> str:
        if kind not in self._kinds:
            cleaned, number = self._cleaned(kind), 1
            unique = cleaned
            while unique in self._kinds.values():
                number += 1
                unique = f"{cleaned}-{number}"
            self._kinds[kind] = unique
        return self._kinds[kind]

    def _cleaned(self, text: str) -> str:
        cleaned = _NOT_PLAIN.sub("_", text) if self._plain else text
        while len(os.fsencode(cleaned)) > _LONGEST:
            cleaned = cleaned[:-1]
        return cleaned
