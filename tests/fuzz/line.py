"""The whole worker under fire: mutated entries by plain XADD onto a real Redis, and a real `line-worker run`."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import Counter
from pathlib import Path

from runtime.pool import Pool

from fuzz.decoding import rss_bytes
from fuzz.entries import Flat, entry
from fuzz.report import Finding, Report
from worker.stream.connection import pairs
from worker.stream.embedded import EmbeddedRedis
from worker.stream.fields import entry_time_ns

_BURST = 50
_BACKLOG = 300  # frames: the worker is never out of work, and Redis does not grow
_AHEAD_EVERY, _AHEAD_MS = 1_000, 3_600_000
_END_S = 120.0
# Kept are many times more than are on their way, so that each is read before it is trimmed.
_SETTINGS = {"keep__results": 5_000, "keep__dead": 5_000, "keep__dead_bytes": 10**9, "limits__max_pixels": 10**6}


def fuzz_line(seed: int, seconds: float) -> Report:
    """Publish for so long, then wait for the last frame and compare: each has one result or one dead letter."""
    report = Report("line", seed)
    with (
        tempfile.TemporaryDirectory(prefix="line-worker-fuzz-") as folder,
        EmbeddedRedis() as server,
        Pool(server.url, Path(folder), **_SETTINGS) as pool,
    ):
        fire = _Fire(pool.ready(), seed)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not fire.trouble():
            fire.burst()
        fire.settle()
        report.executions = len(fire.published)
        report.outcomes = fire.outcomes
        report.findings = fire.findings()
        report.notes = {"worker memory": " ".join(f"{size / 2**20:.0f}" for size in fire.rss) + " MiB"}
    return report


class _Fire:
    def __init__(self, pool: Pool, seed: int) -> None:
        self.published: dict[str, int] = {}
        self.ended: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.rss: list[int] = []
        self._pool, self._seed = pool, seed
        self._numbers = itertools.count()
        self._workers = pool.workers()
        self._after = {pool.keys.results: "-", pool.keys.dead: "-"}
        self._look_at = 0.0
        self._last = "0-0"

    def burst(self) -> None:
        """Some more entries, once there is room for them."""
        client, keys = self._pool.client, self._pool.keys
        self._collect()
        while client.execute_command("XLEN", keys.frames) > _BACKLOG and not self.trouble():
            time.sleep(0.01)
            self._collect()
        for number in itertools.islice(self._numbers, _BURST):
            flat = entry(self._seed, number)
            ahead = number % _AHEAD_EVERY == _AHEAD_EVERY // 2  # a client may choose the id, but only a higher one
            wanted = f"{entry_time_ns(self._last) // 1_000_000 + _AHEAD_MS}-0" if ahead else "*"
            self._last = client.execute_command("XADD", keys.frames, wanted, *flat).decode()
            self.published[self._last] = number
        if time.monotonic() >= self._look_at and self._workers:
            self._look_at = time.monotonic() + max(1.0, len(self.rss) / 2)
            self.rss.append(rss_bytes(self._workers[0]))

    def trouble(self) -> bool:
        """Whether the worker is another one than at the beginning."""
        return self._pool.workers() != self._workers

    def settle(self) -> None:
        """Wait for the last frame's end."""
        deadline = time.monotonic() + _END_S
        while not self._pool.done() and time.monotonic() < deadline:
            time.sleep(0.1)
        self._collect()

    def findings(self) -> list[Finding]:
        books = self._pool.books()
        found = [self._about("lost", frame) for frame in self.published if not self.ended[frame]]
        found += [self._about("doubled", frame) for frame, times in self.ended.items() if times > 1]
        if self.trouble():
            said = self._pool.log.read_text()[-3_000:]
            found.append(Finding("restart", self._seed, len(self.published), said))
        if books.difference or books.backlog:
            found.append(Finding("ledger", self._seed, len(self.published), str(books)))
        return found

    def _about(self, kind: str, frame: str) -> Finding:
        number = self.published.get(frame, -1)
        flat: Flat = entry(self._seed, number) if number >= 0 else []
        return Finding(kind, self._seed, number, f"frame {frame}", flat)

    def _collect(self) -> None:
        """What came of them so far; each entry is read once."""
        for stream in self._after:
            while page := self._pool.client.execute_command("XRANGE", stream, self._after[stream], "+", "COUNT", 500):
                self._after[stream] = f"({page[-1][0].decode()}"
                for _, flat in page:
                    fields = dict(pairs(flat))
                    self.ended[fields[b"frame"].decode()] += 1
                    self.outcomes[(fields.get(b"verdict") or fields[b"reason"]).decode()] += 1
