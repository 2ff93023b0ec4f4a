"""A publisher that waits at a full queue asks for room without sending its frame again."""

from __future__ import annotations

import time

from line_settings import settings_for

from worker.stream.publish import FramePublisher
from worker.types import Frame

from .line_of_frames import Line, in_background


def received(line: Line) -> int:
    """Bytes that the server has got from all its clients."""
    told = line.do("INFO", "stats").decode()
    return int(next(row for row in told.splitlines() if row.startswith("total_net_input_bytes:")).split(":")[1])


def test_waiting_sends_no_frame_and_ends_once_there_is_room(line: Line) -> None:
    url = line.settings.redis.url.get_secret_value()
    publisher = FramePublisher(settings_for(url, queue__max_frames=1))
    first = publisher.publish(Frame("c1", bytes(100_000)))
    before = received(line)
    thread, published = in_background(lambda: publisher.publish(Frame("c1", bytes(100_000))))
    time.sleep(0.5)
    assert published == []
    assert 100_000 < received(line) - before < 150_000  # once, and then questions
    line.consumer("w1").read(1)
    line.finish(first.id)
    thread.join(5)
    assert [one.id for one in published] == line.waiting()
    assert line.books().produced == 2
