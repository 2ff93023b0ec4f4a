"""Two publishers who had the same frames in hand keep evidence of each once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from line_settings import settings_for
from stream.lossy_proxy import LossyProxy

from worker.metrics import WorkerMetrics
from worker.runtime.evidence import EvidenceKeeper
from worker.runtime.handover import Ending, HandOver, InHand, Judged
from worker.runtime.progress import Progress
from worker.runtime.publisher import Publisher
from worker.runtime.verdict import Origin, too_late
from worker.stream.commit import Committer
from worker.stream.connection import connect
from worker.stream.keys import LineKeys
from worker.types import Frame

from .evidence_folder import told


def test_nobody_writes_what_another_worker_has_ended(redis_url: str, tmp_path: Path) -> None:
    # Given two publishers who have the same frames in hand, and an answer to the first's commit that is lost
    settings = settings_for(redis_url, evidence__folder=tmp_path / "evidence", evidence__min_free_bytes=0)
    (tmp_path / "evidence").mkdir()
    client = connect(settings)
    fields = ("camera", "c1", "data", b"x")
    ids = [client.execute_command("XADD", "{test}:frames", "*", *fields).decode() for _ in range(4)]
    client.execute_command("XGROUP", "CREATE", "{test}:frames", "inspect", "0")
    client.execute_command("XREADGROUP", "GROUP", "inspect", "w1", "STREAMS", "{test}:frames", ">")
    with LossyProxy(urlsplit(redis_url).port or 0, marker=b"{test}:results") as proxy:
        through = settings_for(proxy.url)
        metrics = WorkerMetrics()
        keepers = [EvidenceKeeper(settings, tmp_path / "evidence", name) for name in ("w1", "w2")]
        origin = Origin("m", "e", "fp32", "cpu", "w")

        def publish(worker: int, frames: list[str], url_settings: Any) -> None:
            ended: HandOver[list[Ending]] = HandOver(4)
            judged = []
            for frame_id in frames:
                frame = Frame("c1", b"x", id=frame_id, deadline_ms=1, captured_at=1, published_at=1)
                judged.append(Judged(frame, too_late(frame, 1.0, origin)))
            ended.put([*judged], lambda: None)
            ended.closed.set()
            committer = Committer(connect(url_settings), LineKeys("test"), settings.keep)
            progress = Progress(tmp_path / f"w{worker}.progress")
            Publisher(
                committer,
                None,
                origin,
                InHand(9),
                ended,
                progress,
                metrics,
                keepers[worker],  # type: ignore[arg-type]
            ).run()

        for keeper in keepers:
            keeper.start()
        # When the first ends two of them, then the second all four, then the first the rest without an answer
        publish(0, ids[:2], settings)
        publish(1, ids[:3], settings)
        proxy.lose = 1
        publish(0, ids[2:], through)
        for keeper in keepers:
            keeper.finish(time.monotonic(), lambda: None)
    # Then each has its evidence once, but for the one of which the answer was lost
    assert set(told(tmp_path / "evidence")) == set(ids[:3])
