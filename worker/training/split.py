"""Which photographs are learned from, which watch the fit, and which are held out to calibrate with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.errors import SourceError
from worker.training.dataset.duplicates import near_duplicate_groups
from worker.training.photographs import Digests, Photograph


@dataclass(frozen=True, slots=True)
class Split:
    """`alike` counts the pictures that are nearly another one: such are all in the same part."""

    learned: Digests
    validation: Digests
    held_out: Digests
    alike: int

    @property
    def parts(self) -> tuple[Digests, Digests, Digests]:
        """Learned, validation, held out."""
        return self.learned, self.validation, self.held_out


def split(pictures: Sequence[Photograph], validation: float, held_out: float, seed: int) -> Split:
    """Shuffle by `seed` and share out: each part gets one picture at least, and none for a share of 0.

    A part that was photographed twice scores too low to calibrate with where the other picture of it was learned from.
    So pictures that are nearly the same stay together.

    Raises:
        SourceError: too few pictures, or all are nearly the same.
    """
    wanted = [max(1, round(len(pictures) * share)) if share else 0 for share in (held_out, validation)]
    if len(pictures) < 2 or sum(wanted) >= len(pictures):
        raise SourceError(
            f"{len(pictures)} images that differ are not enough: some are learned from, others watch and calibrate"
        )
    groups = near_duplicate_groups(np.stack([picture.grey for picture in pictures]))
    order = [groups[number] for number in np.random.default_rng(seed).permutation(len(groups))]
    shared = list[list[int]]()
    for count in wanted:
        taken, order = _filled(order, count)
        shared.append(taken)
        if not order:
            raise SourceError(
                f"{len(pictures)} images show only {len(groups)} parts, as far as their surfaces tell: not enough, for "
                "some are learned from, others watch and calibrate"
            )
    shared.append([number for group in order for number in group])
    held_out_ones, watching, learned = (
        {str(pictures[number].path): pictures[number].digest for number in part} for part in shared
    )
    return Split(learned, watching, held_out_ones, sum(len(group) for group in groups if len(group) > 1))


def _filled(groups: list[list[int]], count: int) -> tuple[list[int], list[list[int]]]:
    """Groups of up to so many pictures, the first that fit, or the smallest where none does; and the groups left."""
    taken, left = list[int](), list[list[int]]()
    for group in groups:
        if len(taken) + len(group) <= count:
            taken += group
        else:
            left.append(group)
    if count and not taken:
        smallest = min(left, key=len)
        left.remove(smallest)
        taken = smallest
    return taken, left
