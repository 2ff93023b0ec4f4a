"""A subscriber that reads results, dead letters and alerts as they come: the other side of the oracle."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import closing

from stack import Stack

from worker.errors import StreamError
from worker.stream.connection import Client, mapping, pairs, stream_errors
from worker.stream.fields import alert_from_fields
from worker.types import Alert

PAGE = 500
TRAPS = ("killer", "failer", "hanger")


class Witness(threading.Thread):
    """Reads the output streams from their beginning on, no entry twice: what it sees twice is there twice.

    `ends`: frame's entry id → how often it was ended; `results`: when each came, unix seconds; `numbers`: camera and
    seq → the ids of its frames; `reasons`: dead letters by camera and reason; `unlucky`: good frames that were in hand
    so often when their worker died that they were dead-lettered.
    """

    def __init__(self, stack: Stack, stop: threading.Event) -> None:
        super().__init__(name="witness", daemon=True)
        self.ends: Counter[str] = Counter()
        self.results: list[float] = []
        self.verdicts: Counter[str] = Counter()
        self.numbers: dict[tuple[str, str], set[str]] = {}
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.unlucky: list[str] = []
        self.alerts: list[Alert] = []
        self.missed = 0
        self.error = ""
        self._stack = stack
        self._stopping = stop
        keys = stack.keys
        self._after = {keys.results: "0-0", keys.dead: "0-0", keys.alerts: "0-0"}
        self._read = dict.fromkeys(self._after, 0)

    def run(self) -> None:
        try:
            with closing(self._stack.connect()) as client:
                while not self._stopping.is_set():
                    self._step(client)
        except Exception as error:
            self.error = repr(error)
            raise

    def read_all(self) -> None:
        """Read what is left, once everything is at rest, and check that nothing was trimmed unseen."""
        with closing(self._stack.connect()) as client:
            while self._step(client):
                pass
            for key, read in self._read.items():
                with stream_errors():
                    if client.execute_command("EXISTS", key):
                        added = mapping(client.execute_command("XINFO", "STREAM", key)).get("entries-added", read)
                        self.missed += added - read

    def _step(self, client: Client) -> int:
        try:
            with stream_errors():
                streams = client.execute_command(
                    "XREAD", "COUNT", PAGE, "BLOCK", 200, "STREAMS", *self._after, *self._after.values()
                )
        except StreamError:
            time.sleep(0.05)
            return 1
        for raw, page in streams or []:
            key = raw.decode()
            self._after[key] = page[-1][0].decode()
            self._read[key] += len(page)
            for entry_id, flat in page:
                self._note(key, entry_id.decode(), flat)
        return len(streams or [])

    def _note(self, key: str, entry_id: str, flat: list[bytes]) -> None:
        keys = self._stack.keys
        if key == keys.alerts:
            self.alerts.append(alert_from_fields(entry_id, flat))
            return
        fields = dict(pairs(flat))
        frame, camera = fields[b"frame"].decode(), fields[b"camera"].decode()
        self.ends[frame] += 1
        if key == keys.results:
            self.results.append(int(entry_id.partition("-")[0]) / 1e3)
            self.verdicts[fields[b"verdict"].decode()] += 1
            self.numbers.setdefault((camera, fields[b"seq"].decode()), set()).add(frame)
        else:
            self.reasons[camera, fields[b"reason"].decode()] += 1
            if fields[b"reason"] == b"max_attempts" and fields.get(b"original.part_id", b"").decode() not in TRAPS:
                self.unlucky.append(frame)
