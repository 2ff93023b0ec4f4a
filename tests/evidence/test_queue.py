"""What waits to be written."""

from __future__ import annotations

from worker.evidence.queue import RecordQueue

from .kept import record


def test_it_is_bounded_by_records() -> None:
    queue = RecordQueue(2, 10**9)
    assert [queue.put(record(number)) for number in range(3)] == [True, True, False]
    first = queue.get(0)
    assert first is not None
    assert first.result.seq == 0
    assert queue.put(record(3))


def test_it_is_bounded_by_bytes_but_takes_one_of_any_size() -> None:
    queue = RecordQueue(100, 1_000)
    large = record(0, data=b"x" * 5_000, label_map=b"")
    small = record(1, data=b"x" * 400, label_map=b"")
    assert queue.put(large)
    assert not queue.put(small)
    assert queue.get(0) == large
    assert [queue.put(small) for _ in range(3)] == [True, True, False]
    assert [queue.get(0) for _ in range(3)] == [small, small, None]
