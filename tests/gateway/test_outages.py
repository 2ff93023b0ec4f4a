"""Redis goes away under requests, and comes back; and the service under the rights of its own user."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from line_settings import settings_for
from ports import free_port
from redis_servers import Server as RedisServer
from runtime.pool import Pool
from stream.guarded import GuardedRedis
from stream.silent_proxy import SilentProxy

from .service import HandWorker, Service, base64_of, failed, wait_until

CLIENTS = 8


@pytest.fixture
def redis_that_dies(tmp_path: Path) -> RedisServer:
    port = free_port()
    folder = tmp_path / "redis"
    options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
    return RedisServer(folder, port, *options, "--appendonly", "yes", "--appendfsync", "always")


def url_of(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


class Clients:
    """Ask without end, each as soon as it has its answer, and keep what each request came to."""

    def __init__(self, service: Service, pictures: list[bytes]) -> None:
        self.statuses: dict[str, int] = {}
        self.said: set[str] = set()
        self._service = service
        self._images = [base64_of(picture) for picture in pictures]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def verdicts(self) -> int:
        """How many requests got a verdict, up to now: refusals of a service without Redis do not count."""
        return Counter(list(self.statuses.values()))[200]

    def stop(self) -> Counter[int]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return Counter(self.statuses.values())

    def _ask(self, number: int) -> None:
        with httpx.Client(base_url=self._service.http.base_url, timeout=30) as http:
            for count in range(100_000):
                if self._stop.is_set():
                    return
                part = f"{number}-{count}"
                fields = {"image": self._images[count % len(self._images)], "partId": part, "visualize": False}
                response = http.post("/image-anomaly-detection", json=fields)
                self.statuses[part] = response.status_code
                if response.status_code != 200:
                    self.said.add(failed(response, response.status_code))
                    time.sleep(0.02)


def test_a_redis_that_is_killed_and_comes_back_doubles_and_loses_nothing(
    redis_that_dies: RedisServer, tmp_path: Path, pictures: list[bytes]
) -> None:
    redis_that_dies.start()
    url = url_of(redis_that_dies)
    try:
        # What a worker was sent and never got is taken over soon
        with Pool(url, tmp_path, work__claim_idle_ms=2_000) as pool, Service(url, gateway__timeout_s=4) as service:
            pool.ready()
            wait_until(lambda: service.http.get("/ready").status_code == 200, "a service that is ready")
            # Given clients at work
            clients = Clients(service, pictures)
            wait_until(lambda: clients.verdicts() > 50, "verdicts")
            # When Redis is killed under them, twice, for a moment and for longer
            for away_s in (0.2, 2.0):
                redis_that_dies.kill()
                time.sleep(away_s)
                redis_that_dies.start()
                verdicts = clients.verdicts()
                wait_until(lambda: service.http.get("/ready").status_code == 200, "a service that is ready again")
                wait_until(lambda: clients.verdicts() > verdicts + 50, "verdicts again")  # noqa: B023
            statuses = clients.stop()
            pool.wait_until_done()
            # Then every request has an honest answer, and there is one verdict on each frame
            assert set(statuses) <= {200, 503, 504}, clients.said
            assert statuses[200] > 100
            parts = Counter(result.part_id for result in pool.results())
            assert set(parts.values()) == {1}
            assert {part for part, status in clients.statuses.items() if status == 200} <= set(parts)
            assert pool.books().difference == 0
            assert all("Redis" in said or "no verdict within" in said or "no worker" in said for said in clients.said)
    finally:
        redis_that_dies.kill()


def test_a_request_in_flight_is_told_when_redis_does_not_come_back(
    redis_that_dies: RedisServer, pictures: list[bytes]
) -> None:
    redis_that_dies.start()
    url = url_of(redis_that_dies)
    with HandWorker(settings_for(url)) as hand, Service(url) as service:
        published = service.post_soon(pictures[0], deadlineMs=2_500)
        hand.take()
        tickets = service.server._service._line._tickets
        wait_until(lambda: len(tickets) == 1, "the service knows that it is published")
        redis_that_dies.kill()
        began = time.monotonic()
        unpublished = service.post_soon(pictures[0])
        assert "Redis cannot be reached" in failed(unpublished.result(), 503)
        assert time.monotonic() - began < 10
        said = failed(published.result(), 504)
        assert "lost with Redis" in said


def test_a_redis_that_says_nothing_holds_no_request_beyond_its_deadline(
    hand: HandWorker, redis_url: str, pictures: list[bytes]
) -> None:
    with SilentProxy(httpx.URL(redis_url).port or 0) as proxy:
        flags = {"redis__timeout_s": 1, "redis__health_check_s": 1, "gateway__timeout_s": 20}
        with Service(proxy.url, **flags) as service:
            proxy.fall_silent()
            began = time.monotonic()
            answers = [service.post_soon(pictures[0], deadlineMs=1_500) for _ in range(5)]
            assert {answer.result().status_code for answer in answers} <= {503, 504}
            assert time.monotonic() - began < 10
            wait_until(lambda: service.http.get("/ready").status_code == 503, "the silence to be noticed")
            proxy.speak()
            wait_until(lambda: service.http.get("/ready").status_code == 200, "a service that is ready again")
            answer = service.post_soon(pictures[0])
            wait_until(lambda: hand.finish_all() or answer.done(), "an answer")
            assert answer.result().status_code == 200, answer.result().text


def test_the_service_has_all_it_needs_by_the_rights_of_its_user(tmp_path: Path, pictures: list[bytes]) -> None:
    with GuardedRedis(tmp_path, free_port()) as redis, HandWorker(redis.settings("worker")) as hand:
        with Service(redis.url("gateway")) as service:
            answers = [service.post_soon(pictures[0]) for _ in range(3)]
            for frame in hand.take(3):
                hand.finish(frame)
            assert [answer.result().status_code for answer in answers] == [200] * 3
            assert service.http.get("/ready").json()["result"]["workers"] == 1
            assert service.http.get("/ready").status_code == 200
            assert service.http.get("/metrics").status_code == 200
        assert redis.admin.execute_command("XLEN", hand.keys.frames) == 0
        # And a user without them is told of it, and not with a 500
        with Service(redis.url("viewer")) as service:
            response = service.post(pictures[0])
            assert "lacks a right" in failed(response, 503)
