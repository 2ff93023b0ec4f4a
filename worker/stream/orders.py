"""What people order of the alert process, as a stream: given by anybody who may, carried out by that process alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from worker.orders import Order, parse_order
from worker.stream.connection import Client, pairs, stream_errors
from worker.stream.fields import entry_time_ns, flat_fields
from worker.stream.keys import LineKeys
from worker.stream.scripts import Script

MOST_ORDERS = 10_000
"""Of orders that wait longer than the alert process is away so many are kept, the newest."""

PAGE = 100
_SHOWN = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class GivenOrder:
    """An order as it stands in the stream; `at` is when it was given, by its entry's id, in unix nanoseconds."""

    id: str
    at: int
    order: Order


class Orders:
    """Errors are StreamUnavailable and StreamError."""

    def __init__(self, client: Client, keys: LineKeys) -> None:
        self._client = client
        self._stream = keys.orders
        self._script = Script(client, "ordered.lua")

    def give(self, orders: Sequence[Order]) -> list[str]:
        """Give orders, in one go; their ids. After StreamUnavailable nobody knows which were given; giving an order
        twice is the same as giving it once."""
        commands = [
            ("XADD", self._stream, "MAXLEN", "~", MOST_ORDERS, "*", *flat_fields(order.model_dump(mode="json")))
            for order in orders
        ]
        if not commands:
            return []
        with stream_errors():
            return [entry_id.decode() for entry_id in self._client.execute_together(*commands)]

    def read(self) -> list[GivenOrder]:
        """The oldest orders that wait, a page at most. What is none is logged and taken off."""
        with stream_errors():
            page = self._client.execute_command("XRANGE", self._stream, "-", "+", "COUNT", PAGE)
        given: list[GivenOrder] = []
        for raw_id, flat in page:
            entry_id = raw_id.decode()
            try:
                given.append(GivenOrder(entry_id, entry_time_ns(entry_id), _order(flat)))
            except ValueError as error:
                log.warning("entry is not an order", id=entry_id, error=str(error)[:_SHOWN])
                self.take_off(entry_id)
        return given

    def take_off(self, order_id: str) -> None:
        """It was carried out."""
        with stream_errors():
            self._script([self._stream], [order_id])

    def waiting(self, order_ids: Sequence[str]) -> list[str]:
        """Those of these, given one after the other, that were not carried out yet."""
        if not order_ids:
            return []
        found: set[str] = set()
        after = order_ids[0]
        with stream_errors():
            while page := self._client.execute_command("XRANGE", self._stream, after, order_ids[-1], "COUNT", PAGE):
                found |= {entry_id.decode() for entry_id, _ in page}
                after = f"({page[-1][0].decode()}"
        return [order_id for order_id in order_ids if order_id in found]


def _order(flat: list[bytes]) -> Order:
    """The order in an entry.

    Raises:
        ValueError: it is none.
    """
    return parse_order({name.decode(): value.decode() for name, value in pairs(flat)})
