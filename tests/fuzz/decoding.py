"""Watches the process under test from outside: crashes, hangs, leaks, wrong errors, wrong results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fuzz.entries import entry
from fuzz.report import Finding, Report

TARGET = ("-X", "faulthandler", "-m", "fuzz.target")
_POLL_S = 0.25
_WARM_AFTER = 0.4  # share of the time after which no more memory may be taken for good
_MAY_GROW_BYTES = 48 * 2**20
_TESTS = Path(__file__).parents[1]


def fuzz_decoding(seed: int, seconds: float, hang_s: float = 30.0, target: Sequence[str] = TARGET) -> Report:
    """Feed inputs to a process of its own for so long; one that dies or hangs is replaced behind its last input.

    `hang_s` is the time for one input: even a slow, busy machine is done with one in a second.
    """
    report = Report("decode", seed)
    until, next_ = time.monotonic() + seconds, 0
    while (left := until - time.monotonic()) > 0:
        with tempfile.TemporaryDirectory(prefix="line-worker-fuzz-") as folder:
            process = _Target(Path(folder), seed, next_, target)
            finding = process.watch(left, hang_s)
            reached = process.at()
            report.executions += reached - next_ + 1
            report.outcomes.update(process.outcomes())
            report.findings += process.faults()
            report.notes["memory"] = process.memory_line()
        if finding:
            report.findings.append(finding)
        next_ = reached + 1
    return report


class _Target:
    def __init__(self, folder: Path, seed: int, first: int, target: Sequence[str]) -> None:
        self._folder, self._seed, self._first = folder, seed, first
        self._rss: list[int] = []
        with (folder / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *target, str(folder), str(seed), str(first)],
                env=os.environ | {"PYTHONPATH": f"{_TESTS}:{_TESTS.parent}"},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def watch(self, seconds: float, hang_s: float) -> Finding | None:
        """Until the time is over or something is found; the process is gone afterwards."""
        began = moved = time.monotonic()
        last, warm = -1, 0
        try:
            while time.monotonic() - began < seconds:
                time.sleep(_POLL_S)
                if self._process.poll() is not None:
                    return self._finding("crash", f"exit status {self._process.returncode}: {self._last_words()}")
                at = self.at()
                if at != last:
                    last, moved = at, time.monotonic()
                elif time.monotonic() - moved > hang_s:
                    self._process.send_signal(signal.SIGABRT)  # faulthandler says where it was
                    self._process.wait(10)
                    return self._finding("hang", f"no end after {hang_s:.0f} s: {self._last_words()}")
                self._bound_log()
                self._rss.append(rss_bytes(self._process.pid))
                if time.monotonic() - began < _WARM_AFTER * seconds:
                    warm = len(self._rss)
            return self._leak(warm)
        finally:
            self._process.kill()
            self._process.wait()

    def at(self) -> int:
        """The input that it is at, or was at last."""
        try:
            return int((self._folder / "at").read_bytes() or self._first)
        except OSError:
            return self._first

    def outcomes(self) -> Counter[str]:
        file = self._folder / "outcomes.json"
        return Counter(json.loads(file.read_text())) if file.exists() else Counter()

    def faults(self) -> list[Finding]:
        """What it noted itself: wrong errors and wrong results."""
        file = self._folder / "faults.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        noted = [json.loads(line) for line in lines]
        return [Finding("fault", self._seed, note["number"], note["what"]) for note in noted]

    def memory_line(self) -> str:
        return " ".join(f"{size / 2**20:.0f}" for size in self._rss[:: max(1, len(self._rss) // 10)]) + " MiB"

    def _leak(self, warm: int) -> Finding | None:
        """The least of the last third against the least after the warm-up: peaks of single pictures do not count."""
        settled = self._rss[warm:]
        third = len(settled) // 3
        if third < 5:
            return None
        grown = min(settled[-third:]) - min(settled[:third])
        return self._finding("leak", f"{grown} bytes more: {self.memory_line()}") if grown > _MAY_GROW_BYTES else None

    def _finding(self, kind: str, what: str) -> Finding:
        return Finding(kind, self._seed, self.at(), what, entry(self._seed, self.at()))

    def _bound_log(self) -> None:
        """Decoders chat about what they are fed with; only the end is of interest."""
        log = self._folder / "stderr"
        if log.stat().st_size > 10 * 2**20:
            os.truncate(log, 0)

    def _last_words(self) -> str:
        return (self._folder / "stderr").read_bytes()[-3_000:].decode("utf-8", "replace")


def rss_bytes(pid: int) -> int:
    """The memory that a process holds; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
