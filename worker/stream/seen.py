"""Whether anybody inspects a line: the workers that Redis has seen lately, and the model that spoke last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from worker.errors import StreamError
from worker.stream.connection import Client, is_no_group, mapping, stream_errors
from worker.stream.fields import result_from_fields
from worker.stream.keys import GROUP_INSPECT, LineKeys
from worker.stream.moment import read_at_once


@dataclass(frozen=True, slots=True)
class LineSeen:
    """`workers`: how many are there; `model`: that of the last result, empty where there is none."""

    workers: int
    model: str


def look_at_line(client: Client, keys: LineKeys, within_s: float) -> LineSeen:
    """The workers that were seen in the last `within_s`; each shows up every few seconds (`FrameConsumer.show_up`),
    and is there at all only once its model is loaded.

    Raises:
        StreamUnavailable: Redis is away.
    """
    consumers, newest = read_at_once(
        client,
        ("XINFO", "CONSUMERS", keys.frames, GROUP_INSPECT),
        ("XREVRANGE", keys.results, "+", "-", "COUNT", 1),
    )
    with stream_errors():
        if isinstance(newest, Exception):
            raise newest
        if isinstance(consumers, redis.ResponseError) and is_no_group(consumers):  # nobody has ever come
            consumers = []
        if isinstance(consumers, Exception):
            raise consumers
    live = [consumer for consumer in consumers if mapping(consumer)["idle"] <= within_s * 1_000]
    return LineSeen(len(live), _model(newest))


def _model(newest: list[Any]) -> str:
    try:
        return result_from_fields("", newest[0][1]).model if newest else ""
    except StreamError:
        return ""  # written by someone else
