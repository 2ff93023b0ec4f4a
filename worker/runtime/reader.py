"""The reader stage: takes frames from the line, decodes and preprocesses them, hands them to the device."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import structlog

from worker.cores import usable_cores
from worker.errors import StreamUnavailable
from worker.runtime.handover import Ending, HandOver, InHand, Judged, Prepared, Ready
from worker.runtime.prepare import Preparer
from worker.runtime.retry import Outage, until_answered
from worker.runtime.verdict import Origin, invalid
from worker.settings import Settings, WorkSettings
from worker.stream.consume import Delivery, FrameConsumer
from worker.stream.frozen import FrozenCameras, Shown

log = structlog.get_logger()

_RENEWALS_PER_LEASE = 3
_SWEEPS_PER_LEASE = 4
_LONGEST_SWEEP_PAUSE_S = 2.0  # what a dead worker left is taken over so long after its lease at most
_LOOK_AT_ONCE = 8  # frames: enough to make the call cheap, and no large batch waits for its last frame
# While the device has enough to go on with, frames gather at Redis and are read together: to read and look at each
# alone would cost what the model needs when the load is high.
_GATHER_S = 0.008
_SHOW_UP_EVERY_S = 3.0  # well under alerts.worker_down_s
_READ_BYTES = 32 * 2**20  # one read's reply: Redis cuts off clients for which too much waits (maxmemory-clients)
_MOST_DECODE_THREADS = 8  # unless they are set: what goes on between two images needs the interpreter, and that is one


def decode_threads(work: WorkSettings) -> int:
    """How many threads decode: as set, or with 0 one for each core that this process may use, at most 8."""
    return work.decode_threads or min(usable_cores(), _MOST_DECODE_THREADS)


class Reader:
    """Runs in a thread of its own until `stop` is set; decoding runs in a few more, which leave the GIL."""

    def __init__(
        self,
        settings: Settings,
        consumer: FrameConsumer,
        cameras: FrozenCameras,
        prepare: Preparer,
        origin: Origin,
        in_hand: InHand,
        to_device: HandOver[Prepared],
        to_publisher: HandOver[list[Ending]],
        stamp: Callable[[], None],
    ) -> None:
        self._look_at_once = min(settings.batch.max_batch, _LOOK_AT_ONCE)
        self._gather_from = max(1, settings.batch.max_batch // 2)
        self._frozen_after = settings.watch.frozen_after
        self._work = settings.work
        self._consumer = consumer
        self._cameras = cameras
        self._prepare = prepare
        self._origin = origin
        self._in_hand = in_hand
        self._to_device = to_device
        self._to_publisher = to_publisher
        self._stamp = stamp
        self._largest = 1  # bytes of a frame, of those of late
        self._recovering = True  # first of all what a dead predecessor of the same name left
        self._joined = False
        self.preparing = 0
        """Frames that were read and are not yet handed on."""
        self._sweep_at = 0.0
        self._renew_at = 0.0
        self._show_up_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Read until told to stop, riding out Redis being away."""
        outage = Outage("reader")
        with ThreadPoolExecutor(decode_threads(self._work), thread_name_prefix="decode") as pool:
            while not stop.is_set():
                self._stamp()
                if len(self._to_device) >= self._gather_from:
                    stop.wait(_GATHER_S)
                try:
                    deliveries = self._next()
                    outage.over()
                except StreamUnavailable as error:
                    outage.wait(error, stop)
                    continue
                self.preparing = len(deliveries)
                self._hand_on(pool.map(self._prepare, deliveries))
                self.preparing = 0

    def _hand_on(self, ready: Iterable[Ready]) -> None:
        """Pass frames on as they get ready, a few at a time, so that one look at their cameras serves them all."""
        for batch in _batches(self._alive(ready), self._look_at_once):
            for item in self._without_frozen(batch):
                if isinstance(item, Prepared):
                    self._to_device.put(item, self._keep_alive)
                else:
                    self._to_publisher.put([item], self._keep_alive)
                self.preparing -= 1

    def _alive(self, ready: Iterable[Ready]) -> Iterator[Ready]:
        for item in ready:
            self._keep_alive()  # a read may hold many large images
            yield item

    def _without_frozen(self, batch: list[Ready]) -> list[Ready]:
        """The same frames; those of a frozen camera are judged, so that no model looks at them."""
        shown = {item.frame.id: item for item in batch if isinstance(item, Prepared) and item.digest}
        started = time.perf_counter()
        frozen = self._look([Shown(item.frame.id, item.frame.camera, item.digest) for item in shown.values()])
        look_ms = (time.perf_counter() - started) * 1e3
        judged: dict[str, Judged] = {}
        for (frame_id, item), is_frozen in zip(shown.items(), frozen, strict=True):
            item.timings_ms["check"] += look_ms
            if is_frozen:
                problem = f"frozen: {self._frozen_after} or more frames in a row with the very same pixels"
                result = invalid(item.frame, problem, item.image_size, item.timings_ms, self._origin)
                judged[frame_id] = Judged(item.frame, result)
        return [judged.get(item.frame.id, item) if isinstance(item, Prepared) else item for item in batch]

    def _look(self, shown: list[Shown]) -> list[bool]:
        """Which cameras are frozen, however often it takes to ask: what nobody could ask for is not OK."""
        return until_answered("frozen", lambda: self._cameras.frozen(shown), self._stamp)

    def _keep_alive(self) -> None:
        """While a slow device makes this stage wait, its frames stay leased."""
        self._stamp()
        if time.monotonic() >= min(self._show_up_at, self._renew_at):
            with contextlib.suppress(StreamUnavailable):  # the next read will say so
                self._renew()

    def _renew(self) -> None:
        """Be seen, and keep the frames in hand from being taken over, a few times in each lease."""
        if time.monotonic() >= self._show_up_at:
            self._show_up_at = time.monotonic() + _SHOW_UP_EVERY_S
            self._consumer.show_up()
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + self._work.claim_idle_ms / 1000 / _RENEWALS_PER_LEASE
            self._consumer.renew(self._in_hand.ids())

    def _next(self) -> list[Delivery]:
        """Frames that a dead worker left come first, one at a time; then new ones, as many as there is room for."""
        if not self._joined:
            self._consumer.join()
            self._largest = max(1, self._consumer.waiting_bytes())  # all that is known: no frame is larger
            self._joined = True
        self._renew()
        if self._recovering or self._sweep_due():
            return self._take(self._recover())
        room = self._in_hand.wait_for_room()
        return self._take(self._read(room) if room > 0 else [])

    def _read(self, room: int) -> list[Delivery]:
        """New frames, and of large ones only so many that Redis sends them."""
        found = self._consumer.read(max(1, min(room, _READ_BYTES // self._largest)))
        if found:
            sizes = (sum(map(len, delivery.flat)) for delivery in found)
            self._largest = max(1, self._largest // 2, *sizes)
        return found

    def _sweep_due(self) -> bool:
        """Whether it is time to look for frames of dead workers, and there are some."""
        if time.monotonic() < self._sweep_at:
            return False
        if self._consumer.has_idle():
            return True
        lease_s = self._work.claim_idle_ms / 1000
        self._sweep_at = time.monotonic() + min(lease_s / _SWEEPS_PER_LEASE, _LONGEST_SWEEP_PAUSE_S)
        return False

    def _recover(self) -> list[Delivery]:
        """At most one frame, and only with nothing else in hand: if it kills the process, it dies alone."""
        if not self._in_hand.wait_until_empty():
            return []
        if self._recovering:
            delivery = self._consumer.recover_own()
            self._recovering = delivery is not None
        else:
            delivery = self._consumer.recover_idle()
        if delivery is None:
            return []
        log.warning("frame taken over", frame=delivery.id, attempts=delivery.attempts)
        return [delivery]

    def _take(self, deliveries: list[Delivery]) -> list[Delivery]:
        self._in_hand.add(*[delivery.id for delivery in deliveries])
        return deliveries


def _batches(ready: Iterator[Ready], size: int) -> Iterator[list[Ready]]:
    while batch := list(islice(ready, size)):
        yield batch
