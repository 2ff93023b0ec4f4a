"""Frozen cameras: told from the limit on, by all workers together, in any order, counting no frame twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ports import free_port

from worker.settings import Settings
from worker.stream import frozen as module
from worker.stream.connection import Client, connect
from worker.stream.frozen import FrozenCameras, Shown
from worker.stream.keys import LineKeys

from .guarded import GuardedRedis

KEYS = LineKeys("test")
LIMIT = 5
STILL = "00000000000000aa"


@pytest.fixture
def cameras(each_settings: Settings) -> FrozenCameras:
    return FrozenCameras(connect(each_settings), KEYS, LIMIT)


def still(*numbers: int, camera: str = "c1", digest: str = STILL) -> list[Shown]:
    return [Shown(f"{1_700_000_000_000 + number // 3}-{number % 3}", camera, digest) for number in numbers]


def live(*numbers: int, camera: str = "c1") -> list[Shown]:
    return [one for number in numbers for one in still(number, camera=camera, digest=f"{number:016x}")]


def test_a_living_camera_is_never_frozen(cameras: FrozenCameras) -> None:
    assert not any(cameras.frozen(live(*range(1000, 1040))))


def test_from_the_limit_on_each_frame_is_frozen_until_the_picture_changes(cameras: FrozenCameras) -> None:
    assert cameras.frozen(still(*range(3))) == [False] * 3
    assert cameras.frozen(still(*range(3, 8))) == [False] + [True] * 4
    assert cameras.frozen(live(8) + still(9)) == [False, False]
    # The same picture again has to show as often again.
    assert cameras.frozen(still(10, 11, 12, 13, 14)) == [False] * 3 + [True] * 2


def test_each_camera_is_looked_at_alone(cameras: FrozenCameras) -> None:
    both = [one for number in range(8) for one in still(number, camera="c1") + live(1000 + number, camera="c2")]
    assert cameras.frozen(both) == [found for number in range(8) for found in (number >= LIMIT - 1, False)]
    # That two cameras show the same is none of our business.
    assert not any(cameras.frozen([one for number in range(4) for one in still(number, camera=f"x{number}")]))


def test_a_frame_that_comes_again_counts_once(cameras: FrozenCameras) -> None:
    for _ in range(4):
        assert not any(cameras.frozen(still(0, 1, 2, 3)))
    assert cameras.frozen(still(4)) == [True]
    assert cameras.frozen(still(4)) == [True]


def test_frames_that_two_workers_report_crosswise_count_in_all(cameras: FrozenCameras) -> None:
    found = cameras.frozen(still(4, 5, 6)) + cameras.frozen(still(1, 2, 3)) + cameras.frozen(still(9, 8, 0, 7))
    assert found == [False] * (LIMIT - 1) + [True] * (10 - LIMIT + 1)


def test_a_straggler_of_a_camera_that_lives_again_is_still_frozen(cameras: FrozenCameras) -> None:
    cameras.frozen(still(*range(8)))
    assert cameras.frozen(live(10, 11)) == [False, False]
    assert cameras.frozen(still(9) + live(12)) == [True, False]


def test_a_living_frame_reported_late_breaks_a_run_only_where_it_lies_in_it(cameras: FrozenCameras) -> None:
    cameras.frozen(still(4, 5, 7))
    assert cameras.frozen(live(3)) == [False]
    assert cameras.frozen(still(8, 9)) == [False, True]
    assert cameras.frozen(live(6)) == [False]  # the three behind it are what is left of the run
    assert cameras.frozen(still(10, 11)) == [False, True]


def test_ids_beyond_a_lua_numbers_precision_are_told_apart(cameras: FrozenCameras) -> None:
    last = 2**64 - 1
    ids = [f"{last}-{last - step}" for step in range(LIMIT)]
    assert cameras.frozen([Shown(one, "c1", STILL) for one in ids]) == [False] * (LIMIT - 1) + [True]


def test_what_others_left_under_the_key_is_no_harm(cameras: FrozenCameras, each_settings: Settings) -> None:
    client = connect(each_settings)
    client.execute_command("SET", KEYS.pictures, "not a hash")
    assert cameras.frozen(still(0)) == [False]
    for text in ("", "x", "aa - nothing", "zz zz 1-1", "aa - 1-1-1 5"):
        client.execute_command("HSET", KEYS.pictures, "c2", text)
        assert cameras.frozen(still(1, camera="c2")) == [False]


def test_made_up_names_fill_no_memory_and_the_memory_ends_with_the_line(
    cameras: FrozenCameras, each_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CAMERAS_KEPT", 10)
    client = connect(each_settings)
    for number in range(50):
        cameras.frozen(still(*range(20), camera=f"made-up-{number}"))
    assert client.execute_command("HLEN", KEYS.pictures) == 10
    longest = max(map(len, client.execute_command("HVALS", KEYS.pictures)))
    assert longest < 100 + 20 * LIMIT
    assert 0 < client.execute_command("TTL", KEYS.pictures) <= 24 * 3600


def test_the_workers_user_may_call_it(tmp_path: Path) -> None:
    with GuardedRedis(tmp_path, free_port()) as server:
        cameras = FrozenCameras(connect(server.settings("worker")), KEYS, LIMIT)
        assert cameras.frozen(still(*range(6))) == [False] * 4 + [True] * 2


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.integers(0, 6),
    frozen=st.integers(0, 14),
    reach=st.integers(1, 6),
    again=st.lists(st.integers(0, 25), max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_in_any_order_a_frozen_camera_is_told_and_a_living_one_is_not(
    client: Client, before: int, frozen: int, reach: int, again: Sequence[int], order: object
) -> None:
    """Given a camera that lives, freezes and lives again, whose frames are reported up to `reach` places from their
    own, some twice: no living frame is frozen, and of the still ones all but the first few reported are."""
    client.execute_command("FLUSHDB")
    cameras = FrozenCameras(client, KEYS, LIMIT)
    last = before + frozen
    frames = live(*range(before)) + still(*range(before, last)) + live(*range(last, last + 5))
    places = [(index + order.uniform(0, reach), one) for index, one in enumerate(frames)]  # type: ignore[attr-defined]
    reported = [one for _, one in sorted(places, key=lambda place: place[0])]
    for index in again:
        if index < len(reported):
            reported.insert(min(len(reported), index + 3), reported[index])
    told = dict.fromkeys((one.frame for one in frames), False)
    for one in reported:
        (found,) = cameras.frozen([one])
        assert not (found and one.digest != STILL)
        told[one.frame] = told[one.frame] or found
    assert sum(told.values()) <= max(0, frozen)
    if frozen >= LIMIT + reach * 2:
        assert sum(told.values()) >= frozen - LIMIT + 1 - 2 * reach
