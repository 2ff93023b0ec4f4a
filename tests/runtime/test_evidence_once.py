"""Two publishers who had the same frames in hand keep evidence of each once."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

from line_settings import settings_for
from stream.lossy_proxy import LossyProxy

from worker.metrics import WorkerMetrics
from worker.runtime.evidence import EvidenceKeeper
from worker.runtime.handover import Ending, HandOver, InHand, Judged
from worker.runtime.progress import Progress
from worker.runtime.publisher import Publisher
from worker.runtime.verdict import Origin, too_late
from worker.settings import Settings
from worker.stream.commit import Committer
from worker.stream.connection import Client, connect
from worker.stream.keys import LineKeys
from worker.types import Frame

from .evidence_folder import told

KEYS = LineKeys("test")


class Side:
    """One worker's publisher and its evidence, both of its own making."""

    def __init__(self, settings: Settings, folder: Path, name: str) -> None:
        self._settings = settings
        self._name = name
        self._progress = Progress(folder / f"{name}.progress")
        self._metrics = WorkerMetrics()
        self.evidence = EvidenceKeeper(settings, folder / "evidence", name, lambda: False)
        self.evidence.start()

    def end(self, frames: list[str], url: str) -> None:
        """Commit these frames, LATE, by a connection to this URL."""
        origin, ended = Origin("m", "e", "fp32", "cpu", self._name), HandOver[list[Ending]](1)
        late = [Frame("c1", b"x", id=frame, deadline_ms=1, captured_at=1, published_at=1) for frame in frames]
        ended.put([Judged(frame, too_late(frame, 1.0, origin)) for frame in late], lambda: None)
        ended.closed.set()
        committer = Committer(connect(settings_for(url)), KEYS, self._settings.keep)
        # No model looks at a frame that is too late.
        Publisher(
            committer, None, origin, InHand(9), ended, self._progress, self._metrics, self.evidence  # type: ignore[arg-type]
        ).run()  # fmt: skip


def test_of_a_frame_that_two_workers_had_the_one_that_ended_it_keeps_evidence(
    redis_url: str, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "evidence").mkdir()
    settings = settings_for(redis_url, evidence__min_free_bytes=0)
    first, second = (Side(settings, tmp_path, name) for name in ("w1", "w2"))
    frames = [client.execute_command("XADD", KEYS.frames, "*", "camera", "c1", "data", b"x").decode() for _ in range(4)]
    client.execute_command("XGROUP", "CREATE", KEYS.frames, "inspect", "0")
    client.execute_command("XREADGROUP", "GROUP", "inspect", "w1", "STREAMS", KEYS.frames, ">")
    with LossyProxy(urlsplit(redis_url).port or 0, marker=KEYS.results.encode()) as proxy:
        # When the first ends two of four, the second three, and then the first the others by an answer that is lost
        first.end(frames[:2], redis_url)
        second.end(frames[:3], redis_url)
        proxy.lose = 1
        first.end(frames[2:], proxy.url)
    for side in (first, second):
        side.evidence.finish(time.monotonic(), lambda: None)
    # Then of each there is evidence once, but not of the one of which nobody knows who ended it
    assert set(told(tmp_path / "evidence")) == set(frames[:3])
