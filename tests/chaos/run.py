"""One chaos run: set up, strike, come to rest, judge."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models
import redis
from cameras import Account, Camera, ForeignCamera
from faults import FAULTS, Fault, Scene
from oracle import Window, judge
from pictures import Pictures
from report import as_json, explain, rows, show
from servers import SentinelRedis, SingleRedis
from stack import IMPATIENT, READY_TIMEOUT_S, Stack, wait_until
from witness import Witness

from worker.errors import StreamError
from worker.stream.consume import consumer_count

BASELINE_S = 5.0
REST_TIMEOUT_S = 120.0
FULL_TIMEOUT_S = 60.0
FULL_SHARE = 0.8
"""Full throughput is back when one second has this share of what was usual before the first fault."""


@dataclass(frozen=True)
class Options:
    """What `tests/chaos --help` says."""

    frames: int
    faults: int
    seed: int = 1
    engine: str = "cheap"
    topology: str = "single"
    only: tuple[str, ...] = ()
    appendfsync: str = "always"
    folder: Path | None = None
    calm_s: tuple[float, float] = (0.5, 3.0)


def run_chaos(options: Options, say: Callable[[str], object]) -> dict[str, Any]:
    """Run it and return the report."""
    with ExitStack() as ending:
        folder = options.folder or Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="line-worker-chaos-")))
        folder.mkdir(parents=True, exist_ok=True)
        server = SentinelRedis() if options.topology == "sentinel" else SingleRedis(folder, options.appendfsync)
        ending.callback(server.stop)
        # Sentinels may choose any replica, so a frame is only in the line when all of them have it.
        replicas = {"redis.wait_replicas": 2} if options.topology == "sentinel" else {}
        patience = IMPATIENT | replicas
        stack = Stack(server.url, server.direct_url, folder, models.bare_export(), options.engine, patience)
        ending.callback(stack.stop)
        return _Chaos(options, stack, server, say).run()


class _Chaos:
    def __init__(
        self,
        options: Options,
        stack: Stack,
        server: SingleRedis | SentinelRedis,
        say: Callable[[str], object],
    ) -> None:
        self._options = options
        self._stack = stack
        self._say = say
        self._chance = random.Random(options.seed)
        self._stop_cameras = threading.Event()
        self._stop_witness = threading.Event()
        self._witness = Witness(stack, self._stop_witness)
        pictures = Pictures(options.seed)
        self._cameras: list[Camera] = [
            Camera(name, stack.camera_settings(policy), pictures, self._stop_cameras, fps)
            for name, policy, fps in (
                ("steady", "block", 200.0), ("second", "block", 200.0),
                ("newest", "drop-newest", 30.0), ("oldest", "drop-oldest", 30.0),
            )
        ]  # fmt: skip
        self._foreign = ForeignCamera(stack.settings, stack.keys, pictures, self._stop_cameras, 30.0)
        self._scene = Scene(stack, server, self._foreign, self._chance)
        self._faults = [fault for fault in FAULTS if isinstance(server, fault.needs)]
        if options.only:
            self._faults = [fault for fault in self._faults if fault.name in options.only]
        if not self._faults:
            raise SystemExit(f"none of these faults can strike a Redis of the kind {options.topology}")
        self._windows: list[Window] = []

    @property
    def _accounts(self) -> list[Account]:
        return [camera.account for camera in (*self._cameras, self._foreign)]

    def run(self) -> dict[str, Any]:
        """Everything, in its order."""
        self._begin()
        usual = self._usual_rate()
        self._say(f"usual throughput: {usual:.0f} frames/s")
        started = time.time()
        self._strike_all()
        lasted_s = time.time() - started
        back_s = self._until_full_throughput(usual)
        self._say(f"full throughput ({FULL_SHARE:.0%} of usual) back after {back_s:.1f} s")
        self._come_to_rest()
        witness = self._final_witness()
        judgement = judge(self._accounts, witness, self._stack.ledger())
        table = rows(self._windows, witness.results, judgement)
        self._say(show(table, judgement))
        self._say(explain(judgement))
        more = {
            "topology": self._options.topology,
            "engine": self._options.engine,
            "seed": self._options.seed,
            "lasted_s": round(lasted_s),
            "usual_fps": round(usual),
            "full_throughput_after_s": round(back_s, 1),
            "unexpected_exits": self._stack.unexpected,
        }
        self._say(f"{len(self._windows)} faults in {lasted_s:.0f} s; ended unasked: {self._stack.unexpected or 'none'}")
        return as_json(table, judgement, more)

    def _begin(self) -> None:
        self._stack.start()
        client = self._stack.connect()
        wait_until(lambda: consumer_count(client, self._stack.keys) == 2, READY_TIMEOUT_S, "two workers are ready")
        client.close()
        for thread in (self._witness, *self._cameras, self._foreign):
            thread.start()

    def _usual_rate(self) -> float:
        wait_until(lambda: len(self._witness.results) > 100, READY_TIMEOUT_S, "verdicts flow")
        before = len(self._witness.results)
        time.sleep(BASELINE_S)
        return (len(self._witness.results) - before) / BASELINE_S

    def _strike_all(self) -> None:
        bag: list[Fault] = []
        while len(self._windows) < self._options.faults or self._published() < self._options.frames:
            if not bag:
                bag = self._chance.sample(self._faults, len(self._faults))
            together = [bag.pop()]
            if bag and not (together[0].alone or bag[-1].alone) and self._chance.random() < 0.15:
                together.append(bag.pop())
            self._strike(together)
            self._calm()
        for window in self._windows:
            window.until = window.until or time.time()

    def _strike(self, faults: list[Fault]) -> None:
        """Strike with these at once, hold them, mend them."""
        now = time.time()
        for window in self._windows:
            window.until = window.until or now
        self._say(
            f"{len(self._windows):4} {self._published():7} published {len(self._witness.results):7} verdicts: "
            + " + ".join(fault.name for fault in faults)
        )
        struck, windows = [], []
        for fault in faults:
            windows.append(Window(fault.name, time.time()))
            strike = fault.strike(self._scene)
            with suppress(redis.RedisError, ProcessLookupError):  # together they may leave nothing to break
                next(strike)
            struck.append(strike)
        time.sleep(max(self._chance.uniform(*fault.lasts_s) for fault in faults))
        for strike, window in zip(reversed(struck), reversed(windows), strict=True):
            with suppress(redis.RedisError, ProcessLookupError):
                next(strike, None)
            window.mended = time.time()
        self._windows += windows

    def _calm(self) -> None:
        until = time.monotonic() + self._chance.uniform(*self._options.calm_s)
        while time.monotonic() < until:
            self._stack.look_after()
            time.sleep(0.1)

    def _until_full_throughput(self, usual: float) -> float:
        """Seconds; infinite where it did not come back in time, as on a box that does other work meanwhile."""
        mended = max(window.mended for window in self._windows)

        def back() -> float | None:
            """When the first second with the usual share of verdicts began, counted from the last mending."""
            results = self._witness.results
            recent = [at for at in results[-int(usual * 60) - 1 :] if at >= mended]
            need = max(1, int(usual * FULL_SHARE))
            for first, last in zip(recent, recent[need:], strict=False):
                if last - first <= 1.0:
                    return first - mended
            return None

        with suppress(AssertionError):
            wait_until(lambda: back() is not None, FULL_TIMEOUT_S, "throughput is back")
        found = back()
        return float("inf") if found is None else found

    def _come_to_rest(self) -> None:
        self._stop_cameras.set()
        for camera in (*self._cameras, self._foreign):
            camera.join(30)
            assert not camera.is_alive(), f"camera {camera.name} hangs"

        def at_rest() -> bool:
            self._stack.look_after()
            try:
                return self._stack.ledger().backlog == 0
            except StreamError:
                return False

        wait_until(at_rest, REST_TIMEOUT_S, "every frame is ended")
        time.sleep(2.0)  # what is left in hand and was ended by another must not be ended again
        self._stop_witness.set()
        self._witness.join()
        if self._options.topology == "single":
            self._witness.read_all()

    def _final_witness(self) -> Witness:
        """Who looked on all the time; after failovers who looks now, since the old primaries' last words are gone."""
        if self._options.topology == "single":
            return self._witness
        witness = Witness(self._stack, self._stop_witness)
        witness.read_all()
        return witness

    def _published(self) -> int:
        return sum(len(account.accepted) for account in self._accounts)
