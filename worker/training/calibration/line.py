"""The scores that a running line has given, from its results.

All that the model scored counts, OK, NG and LATE alike. To take the OK ones alone would leave out all that lies above
the threshold in force: the new one could only be lower, and would reject more good parts at each calibration.
So whoever calibrates from a line says that the parts of that time were good, also those that were rejected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from worker.errors import SourceError
from worker.stream.connection import Client
from worker.stream.fields import result_from_fields
from worker.stream.keys import LineKeys
from worker.stream.tail import newest_first
from worker.training.calibration.scores import CAMERA, Scored, Scores, told
from worker.types import Result

_SAME_DIGITS = 5  # the batch that a frame is in changes the last ones of float32


@dataclass(slots=True)
class LineScores:
    """The scores of a line's last results. `engines` counts them by engine and precision, since scores differ a little
    between those; `rejected` is how many were above the threshold in force then."""

    scores: Scores
    engines: Counter[str] = field(default_factory=Counter)
    rejected: int = 0


def line_scores(
    client: Client, keys: LineKeys, model: str, count: int, cameras: Collection[str] = (), *, good_only: bool = False
) -> LineScores:
    """The last `count` scores that this model gave on a line; fewer where the line keeps no more.

    Results hold no picture: those of one camera with the same score in five digits count as the same one.

    Args:
        model: the identity of the model, `name@version`: another one's scores say nothing.
        cameras: only of these; empty: of all.
        good_only: somebody vouches that all these parts were good, those too that were rejected.

    Raises:
        SourceError: there are none, or some were rejected and nobody vouches for them.
    """
    found = LineScores(Scores())
    others: Counter[str] = Counter()
    for result in newest_first(client, keys.results, result_from_fields):
        if not _has_score(result) or (cameras and result.camera not in cameras):
            continue
        if result.model != model:
            others[result.model] += 1
            continue
        _take(result, found)
        if len(found.scores.scored) == count:
            break
    if not found.scores.scored:
        raise SourceError(_nothing(keys, model, cameras, others))
    if found.rejected and not good_only:
        raise SourceError(
            f"line {keys.line}: {found.rejected:,} of {len(found.scores.scored):,} frames were rejected. If any of "
            "those parts was bad, calibrate from another time or from images; if all were good, say so with "
            "--good-only, and they count: without them the threshold would come out too low"
        )
    found.scores.origin = f"line {keys.line}, {told(found.engines.items())}"
    return found


def _has_score(result: Result) -> bool:
    """Whether it has one that a worker can have given: anybody may write to a stream."""
    score = result.score
    if score is None or result.threshold is None or not CAMERA.fullmatch(result.camera):
        return False
    return 0 <= score <= float(np.finfo(np.float32).max)


def _take(result: Result, found: LineScores) -> None:
    score, threshold = result.score, result.threshold
    assert score is not None
    assert threshold is not None
    found.engines[f"{result.engine} {result.precision}"] += 1
    found.rejected += score > threshold
    found.scores.scored.append(Scored(result.camera, score, f"{result.camera} {score:.{_SAME_DIGITS}g}"))


def _nothing(keys: LineKeys, model: str, cameras: Collection[str], others: Counter[str]) -> str:
    who = f" of {', '.join(cameras)}" if cameras else ""
    there = f"; those there are of {told(others.items())}" if others else ""
    return f"line {keys.line}: no result{who} with a score of the model {model} is on its results stream{there}"
