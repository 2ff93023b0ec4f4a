"""Which frames evidence is kept of."""

from __future__ import annotations

import pytest

from worker.evidence.choice import is_kept
from worker.types import Verdict

from .kept import record


@pytest.mark.parametrize("verdict", [Verdict.NG, Verdict.INVALID, Verdict.LATE])
def test_whatever_is_not_ok_is_kept(verdict: Verdict) -> None:
    assert is_kept(record(verdict=verdict).result, 0.0)


def test_of_what_is_ok_a_share_is_kept_the_same_each_time() -> None:
    results = [record(number, Verdict.OK, data=b"x").result for number in range(20_000)]
    kept = [result for result in results if is_kept(result, 0.1)]
    assert 1_800 < len(kept) < 2_200
    assert kept == [result for result in results if is_kept(result, 0.1)]
    # A larger share holds the smaller one
    assert all(is_kept(result, 0.2) for result in kept)
    assert not any(is_kept(result, 0.0) for result in results)
    assert all(is_kept(result, 1.0) for result in results)
