"""Whole lines on the shards of a Cluster, each with processes of its own, and what a failover does to each."""

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import models
from redis_cluster import ReplicatedCluster
from system.running import READY_TIMEOUT_S, RunningLine

from worker.settings import KeepSettings
from worker.stream.alerting import AlertStore
from worker.stream.consume import consumer_count
from worker.stream.fields import alert_from_fields
from worker.types import AlertState

HOOKS = Path(__file__).parent / "chaos" / "hooks"
PATIENCE_S = 120.0

CHEAP = {"PYTHONPATH": HOOKS, "CHAOS_ENGINE": "cheap", "engine": "paddle", "precision": "fp32"}
"""A stand-in for the device that costs next to nothing, so that three lines fit onto two cores."""
QUICK = {"redis__timeout_s": 1, "redis__connect_timeout_s": 1, "keep__results": 100_000, "log__format": "json"}


class ShardLine(RunningLine):
    """A line with its own workers, alert process and cameras; `name` decides on which shard it is."""

    def __init__(self, cluster: ReplicatedCluster, name: str, folder: Path, **settings: object) -> None:
        folder.mkdir()
        defaults = {"line": name, "model": models.bare_export(), "TMPDIR": folder} | QUICK | CHEAP
        super().__init__(cluster.url, folder, **(defaults | settings))
        self.name = name

    def start_all(self, frames: int, fps: float, picture: str = "size=64", *more: str, **settings: object) -> None:
        """Start everything; two cameras of so many frames each, at so many a second. `settings` are for the workers."""
        self.start("run", "run", **settings)
        self.start("alerts", "alerts")
        sources = [f"{camera}=test://?seed={seed}&{picture}&count={frames}" for seed, camera in enumerate("ab")]
        self.start("produce", "produce", *sources, "--fps", str(fps), *more)

    def wait_for_worker(self) -> None:
        """Wait until its worker is ready."""
        self.wait_until(lambda: consumer_count(self.client, self.keys) == 1, READY_TIMEOUT_S, "a worker is ready")

    def wait_for_more(self, count: int = 20) -> None:
        """Wait for so many more verdicts."""
        wanted = self.verdicts() + count
        self.wait_until(lambda: self.verdicts() >= wanted, PATIENCE_S, f"{count} more verdicts")

    def verdicts(self) -> int:
        """How many the books have; -1 while Redis is away."""
        with suppress(Exception):
            return sum(self.ledger().verdicts.values())
        return -1

    def published(self) -> int:
        """How many frames the cameras were told to be on the line, by their own tallies; waits for their end."""
        self.finish("produce", PATIENCE_S)
        tallies = json.loads(self.log("produce").read_text().splitlines()[-1])
        return sum(int(tally["published"]) for tally in tallies.values())

    def wait_until_done(self) -> None:
        """Wait until every frame has its verdict, and the alert process has settled every result."""
        self.wait_until(lambda: self.ledger().backlog == 0, PATIENCE_S, "every frame is inspected")
        store = AlertStore(self.client, self.keys, KeepSettings())
        last = self.results()[-1].id
        self.wait_until(lambda: not store.pending() and self._read_by_alerts() == last, PATIENCE_S, "alerts are told")

    def _read_by_alerts(self) -> str:
        group = self.client.execute_command("XINFO", "GROUPS", self.keys.results)[0]
        return str(dict(zip(group[::2], group[1::2], strict=True))[b"last-delivered-id"].decode())

    def pictures(self) -> Counter[tuple[str, int | None]]:
        """How many frames with results each picture of the cameras came to: one, unless it was published twice."""
        frames = {(one.camera, one.seq, one.frame) for one in self.results() if one.camera in "ab"}
        return Counter((camera, seq) for camera, seq, _ in frames)

    def raised(self) -> list[str]:
        """The ids of the alerts that were raised, as often as each was."""
        page = self.client.execute_command("XRANGE", self.keys.alerts, "-", "+")
        alerts = [alert_from_fields(entry_id.decode(), flat) for entry_id, flat in page]
        return [alert.alert_id for alert in alerts if alert.state is AlertState.RAISED]

    def longest_stall_s(self) -> float:
        """The longest time that a camera was without a verdict, by the times of their entries."""
        longest = 0.0
        for camera in "ab":
            times = [int(one.id.partition("-")[0]) / 1e3 for one in self.results() if one.camera == camera]
            longest = max([longest, *(after - before for before, after in itertools.pairwise(times))])
        return longest


class Requester(threading.Thread):
    """Asks a line's HTTP service for a verdict again and again; `answers` are its statuses in their order, with times.

    A request that no answer came to is status 0.
    """

    def __init__(self, port: int) -> None:
        super().__init__(name="requester", daemon=True)
        self.answers: list[tuple[float, int]] = []
        self._url = f"http://127.0.0.1:{port}/image-anomaly-detection"
        self._body = {"image": base64.b64encode(models.jpeg(models.images(1)[0])).decode()}
        self._ended = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._ended.wait(0.05):
                status = 0
                with suppress(httpx.HTTPError):
                    status = client.post(self._url, json=self._body).status_code
                self.answers.append((time.monotonic(), status))

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        self.join()

    def statuses(self) -> Counter[int]:
        """How often each came."""
        return Counter(status for _, status in self.answers)

    def good_since(self, moment: float) -> bool:
        """Whether a verdict came after this moment of the monotonic clock."""
        return any(at > moment and status == 200 for at, status in self.answers)

    def longest_wait_s(self) -> float:
        """The longest time without a verdict."""
        times = [at for at, status in self.answers if status == 200]
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)
