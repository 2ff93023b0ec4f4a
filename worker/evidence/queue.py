"""What waits to be written: bounded by records and by bytes, and nobody waits to put something in."""

from __future__ import annotations

import threading
from collections import deque

from worker.evidence.record import Record


class RecordQueue:
    """First in, first out; what comes when it is full is not taken."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def put(self, record: Record) -> bool:
        """Whether it was taken. One that is larger than all may be together is taken when nothing else waits."""
        with self._changed:
            is_full = len(self._records) >= self._max_records or self._bytes + record.size > self._max_bytes
            if is_full and self._records:
                return False
            self._records.append(record)
            self._bytes += record.size
            self._changed.notify()
        return True

    def get(self, timeout_s: float) -> Record | None:
        """The oldest, or None when none came in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._records, timeout_s):
                return None
            record = self._records.popleft()
            self._bytes -= record.size
            return record
