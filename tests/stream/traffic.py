"""A camera and a worker that ride out whatever happens to Redis, and count what came of each frame."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType

from worker.errors import StreamUnavailable
from worker.settings import Settings
from worker.stream.commit import Committer, Finished
from worker.stream.connection import connect
from worker.stream.consume import Delivery, FrameConsumer
from worker.stream.fields import result_from_fields
from worker.stream.keys import LineKeys
from worker.stream.ledger import Ledger, read_ledger
from worker.stream.publish import FramePublisher
from worker.types import Frame, Result, Verdict

from .line_of_frames import wait_until

IDLE_MS = 500
PAUSE_S = 0.02


class Traffic:
    """Publishes numbered frames and gives each its verdict, in two threads, while it is entered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = LineKeys(settings.line)
        self._no_more = threading.Event()
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._publish), threading.Thread(target=self._work)]
        self.published = 0
        self.troubles: Counter[str] = Counter()
        self.deaths: list[BaseException] = []

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._no_more.set()
        self._done.set()
        for thread in self._threads:
            thread.join(60)

    def wait_for_more(self, frames: int = 20) -> None:
        """Wait until so many more frames have been published."""
        goal = self.published + frames
        wait_until(lambda: self.deaths or self.published >= goal, 60)
        assert not self.deaths

    def finish(self) -> tuple[Ledger, Counter[int]]:
        """Publish no more, wait for the last verdict, and return the books and how many results each frame has."""
        self._no_more.set()
        client = connect(self._settings)

        def nothing_left() -> bool:
            if self._threads[0].is_alive():
                return False
            try:
                return read_ledger(client, self._keys).backlog == 0
            except StreamUnavailable:
                return False

        wait_until(lambda: self.deaths or nothing_left(), 60)
        assert not self.deaths
        page = client.execute_command("XRANGE", self._keys.results, "-", "+")
        results = [result_from_fields(entry_id.decode(), flat) for entry_id, flat in page]
        books = read_ledger(client, self._keys)
        client.close()
        return books, Counter(one.seq for one in results if one.seq is not None)

    def expected(self) -> Counter[int]:
        """One result for each frame whose publish() returned."""
        return Counter(range(1, self.published + 1))

    def _publish(self) -> None:
        publisher = FramePublisher(self._settings)
        frame: Frame | None = None
        try:
            while frame or not self._no_more.is_set():
                frame = frame or Frame("c1", b"image", seq=self.published + 1)
                try:
                    publisher.publish(frame)
                    self.published += 1
                    frame = None
                except StreamUnavailable as error:
                    self._note(error)
                time.sleep(PAUSE_S)
        except BaseException as error:
            self.deaths.append(error)
        publisher.close()

    def _work(self) -> None:
        clients = connect(self._settings), connect(self._settings)
        consumer = FrameConsumer(clients[0], self._keys, "w1", IDLE_MS)
        committer = Committer(clients[1], self._keys, self._settings.keep)
        try:
            while not self._done.is_set():
                try:
                    self._work_once(consumer, committer)
                except StreamUnavailable as error:
                    self._note(error)
                    time.sleep(PAUSE_S)
        except BaseException as error:
            self.deaths.append(error)
        for client in clients:
            client.close()

    @staticmethod
    def _work_once(consumer: FrameConsumer, committer: Committer) -> None:
        deliveries = consumer.read(4, block_ms=100)
        while len(deliveries) < 8 and (left := consumer.recover_idle()):
            deliveries.append(left)
        committer.commit([_verdict(one) for one in deliveries])

    def _note(self, error: StreamUnavailable) -> None:
        self.troubles[str(error)] += 1


def _verdict(delivery: Delivery) -> Finished:
    fields = dict(zip(delivery.flat[::2], delivery.flat[1::2], strict=True))
    return Finished(Result(delivery.id, "c1", Verdict.OK, seq=int(fields[b"seq"]), score=0.5, threshold=1.0))
