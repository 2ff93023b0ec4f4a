"""The HTTP service over a real socket, clients of it, and a worker in whose place the test decides."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
from line_settings import settings_for
from ports import free_port

from worker.gateway.document.openapi import ENDPOINT
from worker.gateway.server import Server
from worker.inference.postprocess import encode_label_map
from worker.runtime.alerting import run_alerts
from worker.settings import Settings
from worker.stream.commit import Committer, Dead, Finished
from worker.stream.connection import connect
from worker.stream.consume import Delivery, FrameConsumer
from worker.stream.fields import frame_from_fields
from worker.stream.keys import LineKeys
from worker.stream.ledger import Ledger, read_ledger
from worker.types import Frame, Result, Verdict

SIZE = (4, 6)
"""Of the labelMaps that `HandWorker` gives."""


def base64_of(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


class Service:
    """Started at once, in this process; a context manager."""

    def __init__(self, url: str, **flags: object) -> None:
        port = free_port()
        self.settings = settings_for(url, gateway__port=port, **flags)
        self.port = port
        self.server = Server(self.settings)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self._clients = ThreadPoolExecutor(64)

    def __enter__(self) -> Service:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self.http.close()
        self._clients.shutdown()

    def post(self, picture: bytes | str, **fields: Any) -> httpx.Response:
        """Ask for a verdict on a picture's bytes, or on what stands in the field `image`."""
        image = picture if isinstance(picture, str) else base64_of(picture)
        return self.http.post(ENDPOINT, json={"image": image, **fields})

    def post_soon(self, picture: bytes | str, **fields: Any) -> Future[httpx.Response]:
        """The same in another thread."""
        return self._clients.submit(self.post, picture, **fields)

    def metric(self, name: str) -> float:
        """The value of a series of /metrics, whose label `line` goes without saying."""
        text = self.http.get("/metrics").text.replace('{line="test"}', "").replace('line="test",', "")
        lines = text.splitlines()
        return float(next((line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")), "0"))


@contextmanager
def alert_thread(url: str, **flags: object) -> Iterator[None]:
    """An alert process as a thread of this one."""
    stop = threading.Event()
    settings = settings_for(url, metrics__alerts_port=0, **flags)
    thread = threading.Thread(target=run_alerts, args=(settings, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def failed(response: httpx.Response, status: int) -> str:
    """What a failure says, once it is as every failure is."""
    assert response.status_code == status, response.text[:500]
    body = response.json()
    assert body["errorCode"] == status
    assert set(body) == {"logId", "errorCode", "errorMsg"}
    assert body["logId"]
    assert response.headers["content-type"] == "application/json"
    assert status != 429 or int(response.headers["retry-after"]) >= 1
    return str(body["errorMsg"])


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 30) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return found


class HandWorker:
    """Everything of a worker but the model: takes frames, and ends them as it is told."""

    def __init__(self, settings: Settings) -> None:
        self.client = connect(settings)
        self.keys = LineKeys(settings.line)
        self._limits = settings.limits
        self._consumer = FrameConsumer(self.client, self.keys, "hand", claim_idle_ms=30_000)
        self._committer = Committer(self.client, self.keys, settings.keep)
        self._consumer.join()
        self.show_up()

    def __enter__(self) -> HandWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def take(self, count: int = 1, timeout_s: float = 10) -> list[Frame]:
        """So many frames, as they come."""
        taken: list[Delivery] = []

        def enough() -> bool:
            taken.extend(self._consumer.read(count - len(taken), block_ms=50))
            return len(taken) >= count

        wait_until(enough, f"{count} frames", timeout_s)
        return [frame_from_fields(one.id, one.flat, self._limits, time.time_ns()) for one in taken]

    def finish(self, frame: Frame, verdict: Verdict = Verdict.OK, reason: str = "", **values: Any) -> None:
        """Give it a verdict."""
        result = Result(
            frame=frame.id,
            camera=frame.camera,
            verdict=verdict,
            reason=reason,
            score=0.5,
            threshold=1.0,
            size=SIZE,
            image_size=(8, 12),
            label_map=encode_label_map(np.zeros(SIZE, np.uint8)),
            model="hand-made",
        )
        self._committer.commit([Finished(replace(result, **values), frame.reply_to)])

    def finish_all(self) -> None:
        """Give those that are there now a verdict."""
        for _ in range(self.waiting()):
            self.finish(*self.take())

    def bury(self, frame: Frame, reason: str, error: str = "said so") -> None:
        """Make a dead letter of it."""
        dead = Dead(frame.id, frame.camera, reason, error, 1, "hand", time.time_ns(), frame.reply_to)
        self._committer.commit([dead])

    def show_up(self) -> None:
        """Be seen, as a worker is every few seconds."""
        self._consumer.show_up()

    def leave(self) -> None:
        """Be no worker of the line any more."""
        self._consumer.leave()

    def waiting(self) -> int:
        """Frames on the line, taken or not."""
        return int(self.client.execute_command("XLEN", self.keys.frames))

    def books(self) -> Ledger:
        return read_ledger(self.client, self.keys)

    def replies_left(self) -> int:
        """Entries of all reply streams."""
        found = self.client.execute_command("KEYS", self.keys.reply("*"))
        return sum(self.client.execute_command("XLEN", key) for key in found)
