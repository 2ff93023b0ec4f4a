"""Frames so large that a worker's room for them is more than Redis sends a client at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from line_settings import settings_for

from worker.stream.publish import FramePublisher
from worker.types import Encoding, Frame

from .pool import Pool

SIDE = 2_000
FRAME = bytes(range(240)) * (SIDE * SIDE * 3 // 240)  # 12 MB


@pytest.fixture
def sends_little(redis_url: str) -> Iterator[redis.Redis]:
    """A server that cuts off clients for which more than 64 MB wait."""
    client = redis.Redis.from_url(redis_url)
    try:
        client.config_set("maxmemory-clients", "64mb")
    except redis.ResponseError:
        pytest.skip("Redis before 7 cuts off nobody by maxmemory-clients")
    yield client
    client.config_set("maxmemory-clients", "0")
    client.close()


def test_a_backlog_of_large_frames_is_read_in_parts_that_redis_sends(
    sends_little: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    # Given more large frames than Redis sends at once, and a worker with room for all of them
    before = sends_little.info("stats")["evicted_clients"]
    publisher = FramePublisher(settings_for(redis_url))
    for seq in range(12):
        publisher.publish(Frame("c1", FRAME, seq=seq, encoding=Encoding.BGR8, width=SIDE, height=SIDE))
    with Pool(redis_url, tmp_path, batch__max_batch=8) as pool:
        books = pool.wait_until_done(120)
    # Then it is not cut off, and no frame has to be taken over from itself
    assert sends_little.info("stats")["evicted_clients"] == before
    assert not pool.said("frame taken over")
    assert sum(books.verdicts.values()) == 12
