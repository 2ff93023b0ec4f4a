"""Dead letters are bounded by their bytes: they may not fill the memory that the line needs."""

from __future__ import annotations

import pytest
from line_settings import settings_for

from worker.errors import StreamError
from worker.settings import Settings

from .line_of_frames import Line


def test_dead_letters_are_bounded_by_their_bytes(each_settings: Settings) -> None:
    line = Line(settings_for(each_settings.redis.url.get_secret_value(), keep__dead_bytes=100_000))
    worker = line.consumer("w1")
    ids = [line.publish(data=bytes(20_000)).id for _ in range(12)]
    worker.read(12)
    # When many of them die, then the newest that there is room for are kept
    line.bury(*ids)
    letters = list(line.letters.list())
    assert [one.frame for one in letters] == ids[-4:]
    assert 80_000 < int(line.do("GET", line.keys.dead_bytes)) <= 100_000
    # And one that is larger than all may be keeps its reason, and drives nobody out
    huge = line.publish(data=bytes(150_000)).id
    worker.read(1)
    line.bury(huge, reason="too_large")
    letters = list(line.letters.list())
    assert [one.frame for one in letters] == [*ids[-4:], huge]
    assert (letters[-1].reason, letters[-1].original) == ("too_large", {})
    assert letters[-1].not_kept > 150_000
    with pytest.raises(StreamError, match="no fields"):
        line.letters.replay(letters[-1].id)
    # Purged and replayed letters make room
    assert line.letters.purge(letters[0].id)
    line.letters.replay(letters[1].id)
    assert 40_000 < int(line.do("GET", line.keys.dead_bytes)) < 60_000
    for letter in letters[2:]:
        line.letters.purge(letter.id)
    assert line.do("EXISTS", line.keys.dead_bytes) == 0
    assert line.books().difference == 0
    line.close()


@pytest.mark.parametrize("wrong", ["999999999", "-5", "garbage", ""])
def test_a_wrong_number_of_the_letters_bytes_heals(line: Line, wrong: str) -> None:
    # Given letters that somebody deleted by hand, and a number that has nothing to do with them
    ids = [line.publish().id for _ in range(4)]
    line.consumer("w1").read(4)
    line.bury(*ids[:2])
    line.do("XTRIM", line.keys.dead, "MAXLEN", "0")
    line.do("SET", line.keys.dead_bytes, wrong)
    # Then the worst is that letters go too early, once
    line.bury(ids[2])
    line.bury(ids[3])
    (letter,) = list(line.letters.list())[-1:]
    assert letter.frame == ids[3]
    assert int(line.do("GET", line.keys.dead_bytes)) < 1_000
