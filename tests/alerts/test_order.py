"""The reordering of one camera's results."""

from __future__ import annotations

from alert_results import result
from hypothesis import given
from hypothesis import strategies as st

from worker.alerts.order import MAX_HELD, Place, Reorder, entry_order
from worker.types import Result

WINDOW_S = 0.5


def seqs(results: list[Result]) -> list[int | None]:
    return [one.seq for one in results]


def reorder_after(seq: int, number: int) -> Reorder:
    return Reorder(WINDOW_S, Place(seq=seq, frame=result(number).frame))


def test_the_next_seq_goes_at_once() -> None:
    reorder = reorder_after(4, 4)
    reorder.push(result(5, seq=5), now=0)
    assert seqs(reorder.release(now=0)) == [5]
    assert reorder.due() is None


def test_a_gap_is_filled_within_the_window() -> None:
    reorder = reorder_after(4, 4)
    reorder.push(result(6, seq=6), now=0)
    assert reorder.release(now=0.1) == []
    assert reorder.due() == WINDOW_S
    reorder.push(result(5, seq=5), now=0.2)
    assert seqs(reorder.release(now=0.2)) == [5, 6]


def test_a_gap_waits_at_most_the_window_then_the_lowest_goes_first() -> None:
    reorder = reorder_after(4, 4)
    reorder.push(result(8, seq=8), now=0)
    reorder.push(result(7, seq=7), now=0.3)
    reorder.push(result(9, seq=9), now=0.4)
    assert reorder.release(now=0.49) == []
    assert seqs(reorder.release(now=0.5)) == [7, 8, 9]
    assert reorder.place.seq == 9


def test_the_first_results_of_a_camera_wait_for_the_window() -> None:
    reorder = Reorder(WINDOW_S)
    reorder.push(result(1, seq=1), now=0)
    reorder.push(result(0, seq=0), now=0.1)
    assert reorder.release(now=0.1) == []
    assert seqs(reorder.release(now=0.5)) == [0, 1]


def test_a_straggler_goes_at_once_and_does_not_set_the_count_back() -> None:
    reorder = reorder_after(9, 9)
    reorder.push(result(7, seq=7), now=0)
    assert seqs(reorder.release(now=0)) == [7]
    assert reorder.place.seq == 9


def test_a_camera_that_counts_anew_is_followed_at_once() -> None:
    reorder = reorder_after(1_000, 1_000)
    reorder.push(result(1_001, seq=0), now=0)
    reorder.push(result(1_002, seq=1), now=0)
    assert seqs(reorder.release(now=0)) == [0, 1]
    assert reorder.place.seq == 1


def test_what_is_held_of_the_old_count_goes_before_the_new_one() -> None:
    reorder = reorder_after(10, 10)
    reorder.push(result(12, seq=12), now=0)
    reorder.push(result(13, seq=0), now=0.1)
    assert seqs(reorder.release(now=0.1)) == [12, 0]
    assert reorder.place == Place(seq=0, frame=result(13).frame)


def test_two_counts_in_one_read_are_not_mixed() -> None:
    reorder = reorder_after(4, 4)
    for number, seq in enumerate([5, 6, 0, 1, 2, 3, 4, 5, 6, 7], start=5):
        reorder.push(result(number, seq=seq), now=0)
    assert seqs(reorder.release(now=0)) == [5, 6, 0, 1, 2, 3, 4, 5, 6, 7]


def test_results_without_seq_come_in_the_numerical_order_of_their_frames() -> None:
    reorder = Reorder(WINDOW_S)
    frames = ["1700000000000-10", "1700000000000-9", "999-0"]
    for frame in frames:
        reorder.push(Result(frame=frame, camera="c1", verdict=result(0).verdict), now=0)
    assert reorder.release(now=0.4) == []
    assert [released.frame for released in reorder.release(now=0.5)] == frames[::-1]


def test_ids_compare_as_numbers() -> None:
    assert entry_order("999-0") < entry_order("1700000000000-9") < entry_order("1700000000000-10")
    assert entry_order("") == entry_order("rubbish") == (0, 0)


def test_what_is_held_is_bounded() -> None:
    reorder = reorder_after(0, 0)
    for seq in range(2, MAX_HELD + 12):
        reorder.push(result(seq, seq=seq), now=0)
    assert seqs(reorder.release(now=0))[:3] == [2, 3, 4]
    assert len(reorder) == 0


arrivals = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 12)),  # seq
        st.integers(0, 40),  # frame
        st.floats(0, 0.4),  # seconds since the one before
    ),
    max_size=40,
)


@given(arrivals)
def test_nothing_is_lost_repeated_or_held_too_long(arrivals: list[tuple[int | None, int, float]]) -> None:
    reorder, now, released = Reorder(WINDOW_S), 0.0, []
    waiting: dict[str, float] = {}
    for index, (seq, frame, pause_s) in enumerate(arrivals):
        now += pause_s
        reorder.push(result(frame, seq=seq, id=str(index)), now)
        waiting[str(index)] = now
        for one in reorder.release(now):
            released.append(one.id)
            del waiting[one.id]
        assert all(now - since < WINDOW_S for since in waiting.values())
        assert len(reorder) == len(waiting)
        assert (reorder.due() is None) == (not waiting)
    released += [one.id for one in reorder.release(now + WINDOW_S)]
    assert sorted(released) == sorted(str(index) for index in range(len(arrivals)))


@given(st.permutations(range(12)), st.booleans())
def test_disorder_within_the_window_is_put_right(order: list[int], numbered: bool) -> None:
    reorder, released = Reorder(WINDOW_S), []
    for step, number in enumerate(order):
        reorder.push(result(number, seq=number if numbered else None), now=step * 0.01)
        released += reorder.release(now=step * 0.01)
    released += reorder.release(now=1)
    assert [one.frame for one in released] == [result(number).frame for number in range(12)]
