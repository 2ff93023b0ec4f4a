"""Which photographs are learned from, which watch the fit, and which are held out to calibrate with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.errors import SourceError
from worker.training.dataset.duplicates import near_duplicates
from worker.training.photographs import Digests, Photograph

Pictures = list[Photograph]


@dataclass(frozen=True, slots=True)
class Split:
    """`joined` pictures were to be held out, and are learned from: they are nearly ones that are."""

    learned: Digests
    validation: Digests
    held_out: Digests
    joined: int

    @property
    def parts(self) -> tuple[Digests, Digests, Digests]:
        """Learned, validation, held out."""
        return self.learned, self.validation, self.held_out


def split(pictures: Sequence[Photograph], validation: float, held_out: float, seed: int) -> Split:
    """Shuffle by `seed` and share out: each part gets one picture at least, and none for a share of 0.

    A part that was photographed twice scores too low to calibrate with where the other picture of it was learned from.

    Raises:
        SourceError: too few pictures.
    """
    learned, watching, kept = _shares(pictures, (validation, held_out), seed)
    learned, kept, joined = _apart(learned, kept)
    if held_out and not kept:
        raise SourceError("every picture that was held out is nearly one that is learned from: more parts are needed")
    return Split(_digests(learned), _digests(watching), _digests(kept), joined)


def _shares(pictures: Sequence[Photograph], shares: Sequence[float], seed: int) -> list[Pictures]:
    wanted = [max(1, round(len(pictures) * share)) if share else 0 for share in shares]
    if len(pictures) < 2 or sum(wanted) >= len(pictures):
        raise SourceError(
            f"{len(pictures)} images that differ are not enough: some are learned from, others watch and calibrate"
        )
    order = [pictures[number] for number in np.random.default_rng(seed).permutation(len(pictures))]
    parts, at = list[Pictures](), 0
    for count in wanted:
        parts.append(order[at : at + count])
        at += count
    return [order[at:], *parts]


def _apart(learned: Pictures, kept: Pictures) -> tuple[Pictures, Pictures, int]:
    greys = np.stack([picture.grey for picture in (*learned, *kept)])
    numbers = range(len(learned)), range(len(learned), len(greys))
    alike = {pair.test - len(learned) for pair in near_duplicates(greys, *numbers)}
    joining = [kept[number] for number in sorted(alike)]
    return [*learned, *joining], [one for number, one in enumerate(kept) if number not in alike], len(joining)


def _digests(pictures: Pictures) -> Digests:
    return {str(picture.path): picture.digest for picture in pictures}
