"""The supervisor: one worker process a device, restarted when it dies, killed when it hangs, drained at the end.

It never imports a framework: a worker chooses its device in its own environment before any is loaded.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import structlog

from worker.devices import check_cores, parse_devices
from worker.errors import CrashLoop, SettingsError, StreamError
from worker.evidence.upkeep import Upkeep
from worker.metrics import EvidenceCollector, LedgerCollector, WorkersCollector, merged_registry, serve, show_limits
from worker.runtime.names import claim_pool
from worker.runtime.slot import Slot
from worker.settings import Settings
from worker.stream.connection import connect, eviction_policy, memory_in_use
from worker.stream.keys import LineKeys
from worker.stream.ledger import read_ledger

log = structlog.get_logger()

_TICK_S = 0.2
_ASLEEP_S = 1.0  # without a look for so long: we were stopped, or the box slept, and the workers with us
_CONFIGURATION = SettingsError.exit_code


class Supervisor:
    """Runs the pool until `stop` is set.

    Raises:
        DeviceError: a device string names what this machine has not.
        SettingsError: a worker found a fault that no restart mends (model, device, metrics port), or there is no room
            for the workers' files.
        CrashLoop: workers died again and again without finishing a frame.
    """

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        if settings.model is None:
            raise SettingsError("model: name a model folder with --model or LINE_MODEL")
        self._settings = settings
        self._stop = stop
        self._devices = parse_devices(settings.devices)
        for device in self._devices:
            check_cores(device)
        folder = settings.evidence.folder
        self._evidence = Upkeep(settings, folder) if folder else None
        self._slots: list[Slot] = []
        self._woke = 0.0

    def run(self) -> None:
        """Start the workers and watch over them; returns when they have drained."""
        with claim_pool(self._settings.line, self._devices) as pool:
            self._slots = [
                Slot(self._settings, device, name, lock, pool.folder)
                for device, name, lock in zip(self._devices, pool.names, pool.locks, strict=True)
            ]
            self._check_redis()
            if self._evidence:
                self._evidence.start()
            stop_serving = self._serve_metrics(pool.folder)
            try:
                self._watch()
            finally:
                self._drain()
                stop_serving()
                if self._evidence:
                    self._evidence.stop()

    def status(self) -> list[dict[str, Any]]:
        """The workers as the metrics show them."""
        return [slot.status() for slot in self._slots]

    def _watch(self) -> None:
        looked = self._woke = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            if now - looked > _ASLEEP_S:
                self._woke = now
            looked = now
            for slot in self._slots:
                if ended := slot.ended():
                    self._judge(slot, *ended)
                slot.kill_if_hung(self._woke)
                slot.start_when_due()
                slot.measure()
            self._stop.wait(_TICK_S)

    def _judge(self, slot: Slot, code: int, reason: str) -> None:
        """What a death means: a fault of the settings, a crash loop, or a restart."""
        if code == _CONFIGURATION:
            raise SettingsError(reason)
        slot.plan_restart(code, reason)
        if slot.fruitless > self._settings.work.max_restarts:
            raise CrashLoop(
                f"worker {slot.name} died {slot.fruitless} times in a row without finishing a frame; last: {reason}"
            )

    def _drain(self) -> None:
        """Ask all workers to finish what they have in hand; kill those that hang or take too long."""
        for slot in self._slots:
            slot.terminate()
        deadline = time.monotonic() + self._settings.work.drain_timeout_s
        while any(slot.running and slot.ended() is None for slot in self._slots) and time.monotonic() < deadline:
            for slot in self._slots:
                slot.kill_if_hung(self._woke)
            time.sleep(_TICK_S / 4)
        for slot in self._slots:
            if slot.running:
                log.warning("worker did not drain in time; killed", worker=slot.name)
                slot.kill()

    def _check_redis(self) -> None:
        """Say aloud what would make a promise empty. A Redis that is away is the workers' to wait for."""
        with suppress(StreamError), closing(connect(self._settings)) as client:
            policy = eviction_policy(client)
            if policy not in ("noeviction", ""):
                log.error("Redis may throw frames away when it is full: set maxmemory-policy noeviction", policy=policy)

    def _serve_metrics(self, folder: Path) -> Any:
        settings = self._settings
        registry = merged_registry(folder)
        client, keys = connect(settings), LineKeys(settings.line)
        registry.register(
            LedgerCollector(settings.line, lambda: read_ledger(client, keys).as_dict() | memory_in_use(client))
        )
        registry.register(WorkersCollector(self.status))
        if evidence := self._evidence:
            registry.register(EvidenceCollector(lambda: evidence.size))
        show_limits(
            registry,
            queue_frames=settings.queue.max_frames,
            takt_s=settings.takt_ms / 1_000,
            cameras_on_demand=settings.cameras_on_demand,
        )
        return serve(registry, settings.line, settings.metrics.host, settings.metrics.port)
