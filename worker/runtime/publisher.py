"""The publisher stage: turns anomaly maps into results and commits them, a batch by one script call."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from worker.inference.predictor import Predictor
from worker.metrics import STAGES, WorkerMetrics
from worker.runtime.evidence import EvidenceKeeper
from worker.runtime.handover import Ending, HandOver, Inferred, InHand, Judged
from worker.runtime.progress import Progress
from worker.runtime.retry import until_answered
from worker.runtime.verdict import Origin, in_time, predicted
from worker.stream.commit import Committer, Dead, Finished, Outcome
from worker.types import Verdict

log = structlog.get_logger()


class Publisher:
    """Runs in a thread of its own until its hand-over is closed and empty."""

    def __init__(
        self,
        committer: Committer,
        predictor: Predictor,
        origin: Origin,
        in_hand: InHand,
        incoming: HandOver[list[Ending]],
        progress: Progress,
        metrics: WorkerMetrics,
        evidence: EvidenceKeeper | None = None,
    ) -> None:
        self._committer = committer
        self._predictor = predictor
        self._origin = origin
        self._in_hand = in_hand
        self._incoming = incoming
        self._progress = progress
        self._metrics = metrics
        self._evidence = evidence
        self._stages = {stage: metrics.stage_seconds.labels(stage) for stage in STAGES}

    def run(self) -> None:
        """Publish until the hand-over is closed and empty."""
        while not self._incoming.drained:
            self._stamp()
            if items := self._incoming.get():
                self._commit([self._judge(item) if isinstance(item, Inferred) else item for item in items])

    def _stamp(self) -> None:
        self._progress.stamp("publisher")

    def _judge(self, item: Inferred) -> Judged:
        started = time.perf_counter()
        prepared = item.prepared
        frame = prepared.frame
        prediction = self._predictor.postprocess(item.anomaly_map, prepared.image_size, frame.camera)
        prepared.timings_ms["postprocess"] = (time.perf_counter() - started) * 1e3
        return Judged(frame, predicted(frame, prediction, prepared.timings_ms, self._origin))

    def _commit(self, batch: Sequence[Judged | Dead]) -> None:
        """Commit, as often as it takes: until Redis answers nobody knows whether these frames are ended.

        Whether a frame is late is asked anew at each try. Where only the answer to a try was lost, its verdict
        stands: the next one finds the frame ended.
        """
        started, tries = time.perf_counter(), 0

        def try_to_commit() -> list[tuple[Outcome, bool]]:
            nonlocal tries
            tries += 1
            return self._try_to_commit(batch)

        committed = until_answered("publisher", try_to_commit, self._stamp)
        commit_s = time.perf_counter() - started
        self._in_hand.remove(*[item.frame if isinstance(item, Dead) else item.frame.id for item in batch])
        for item, (outcome, here) in zip(batch, committed, strict=True):
            if here:
                self._measure(outcome, commit_s)
            if here or tries > 1:
                self._keep_evidence(item, outcome, here)
        self._progress.add_finished(len(batch))
        if gone := sum(not here for _, here in committed):
            log.info("frames had left the queue already: ended by another worker, dropped or flushed", count=gone)

    def _try_to_commit(self, batch: Sequence[Judged | Dead]) -> list[tuple[Outcome, bool]]:
        """The outcomes as they stand now, each with whether it was this try that ended the frame."""
        outcomes = [_outcome(item, time.time_ns()) for item in batch]
        return list(zip(outcomes, self._committer.commit(outcomes), strict=True))

    def _keep_evidence(self, item: Judged | Dead, outcome: Outcome, here: bool) -> None:
        """Of what was committed here alone, so that two workers who had a frame keep it once. Dead letters are kept in
        Redis with their bytes."""
        if self._evidence is None or isinstance(item, Dead) or isinstance(outcome, Dead):
            return
        if here:
            self._evidence.keep(item.frame, outcome.result)
        else:
            self._evidence.miss(outcome.result)

    def _measure(self, outcome: Outcome, commit_s: float) -> None:
        if isinstance(outcome, Dead):
            return
        result = outcome.result
        for stage, value_ms in result.timings.items():
            self._stages[stage].observe(value_ms / 1e3)
        self._stages["commit"].observe(commit_s)
        if result.verdict is Verdict.INVALID:
            camera = self._metrics.camera_label(result.camera)
            self._metrics.invalid_frames.labels(camera, result.reason.partition(":")[0]).inc()
        latency_s = max(0.0, (time.time_ns() - result.published_at) / 1e9)
        self._metrics.of_camera(result.camera).count(latency_s, result.score, result.threshold)


def _outcome(item: Judged | Dead, now_ns: int) -> Outcome:
    if isinstance(item, Dead):
        return item
    return Finished(in_time(item.frame, item.result, now_ns), item.frame.reply_to)
