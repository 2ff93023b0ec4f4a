"""Alert loops on a real Redis whose clock, server's time and death are in the test's hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import line
from prometheus_client import CollectorRegistry

from worker.metrics import AlertMetrics
from worker.runtime.alert_loop import AlertLoop
from worker.settings import Settings, load
from worker.stream.alerting import AlertStore
from worker.stream.connection import Client
from worker.stream.orders import Orders
from worker.types import Result

Done = TypeVar("Done")


def settings_at(url: str, **flags: Any) -> Settings:
    dotted = {f"alerts.{name.replace('__', '.')}": value for name, value in flags.items()}
    base = {"line": "test", "redis.url": url, "alerts.update_every_s": 0, "metrics.alerts_port": 0}
    return load(base | dotted)[0]


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class QuickStore(AlertStore):
    """Does not wait for results: in these tests time stands still until the test moves it."""

    def read(self, count: int = 100, block_ms: int = 1) -> list[Result]:
        return super().read(count, 1)


class SetClockStore(QuickStore):
    """Its server's clock has been set by so many seconds since the results were given."""

    by_s = 0

    def now(self) -> int:
        return super().now() + self.by_s * 1_000_000_000


class Killed(BaseException):
    """The process is gone."""


class MortalStore(QuickStore):
    """Dies at its n-th commit or taking off of an order, before or after Redis has done it."""

    def __init__(self, client: Client, *args: Any, lives: int, after: bool) -> None:
        super().__init__(client, *args)
        self._lives = lives
        self._after = after
        self.orders = _MortalOrders(client, line.KEYS, self._live)

    def commit(self, *args: Any, **kwargs: Any) -> list[str] | None:
        return self._live(lambda: super(MortalStore, self).commit(*args, **kwargs))

    def _live(self, do: Callable[[], Done]) -> Done:
        self._lives -= 1
        if self._lives == 0 and not self._after:
            raise Killed
        done = do()
        if self._lives == 0:
            raise Killed
        return done


class _MortalOrders(Orders):
    def __init__(self, client: Client, keys: Any, live: Callable[[Callable[[], None]], None]) -> None:
        super().__init__(client, keys)
        self._live = live

    def take_off(self, order_id: str) -> None:
        self._live(lambda: super(_MortalOrders, self).take_off(order_id))


def loop_of(store: AlertStore, settings: Settings, clock: Clock | None = None) -> AlertLoop:
    loop = AlertLoop(store, settings, AlertMetrics(CollectorRegistry()), clock=clock or Clock())
    loop.begin()
    return loop


def store_of(client: Client, settings: Settings) -> AlertStore:
    return QuickStore(client, line.KEYS, settings.keep)
