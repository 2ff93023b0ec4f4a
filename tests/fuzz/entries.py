"""Entries of the frames stream as anybody might write them: good, damaged, absurd. An input is its seed and number."""

from __future__ import annotations

import random

from fuzz.damage import damaged
from fuzz.seeds import seeds
from worker.stream.fields import FRAME_FIELDS
from worker.types import Encoding

Flat = list[bytes]

_NAMES = (
    *sorted(name.encode() for name in FRAME_FIELDS),
    b"",
    b"Camera",
    b"data ",
    b"dropped",
    b"\xff\xfe",
    b"original.x",
)
_TEXTS = (
    b"",
    b"c1",
    b"a b",
    b"c1\n",
    b"\xff\xfe",
    b"{line1}",
    "ç".encode(),
    b"'; DROP",
    b"%s%n",
    b"\0",
    b"NaN",
    b"../../x",
)
_NUMBERS = (
    b"0", b"1", b"-1", b"7", b"8", b"64", b"1e9", b"0x10", b"007", b" 8", b"+8", "٣".encode(),
    b"65535", b"65536", b"2147483648", b"9223372036854775807", b"9223372036854775808", b"1" * 30,
    b"1600000000000000000", b"9000000000000000000",
)  # fmt: skip
_HUGE = (100, 1_000, 70_000, 1_000_000)


def entry(seed: int, number: int) -> Flat:
    """Input `number` of the run with this seed: [name, value, …], mostly near to what a camera sends."""
    chance = random.Random(f"{seed}:{number}")
    picture = chance.choice(seeds())
    data = picture.data if chance.random() < 0.1 else damaged(chance, picture.data, picture.encoding)
    fields: list[tuple[bytes, bytes]] = [(b"camera", chance.choice((b"c1", b"c2", b"left.cam_3-x"))), (b"data", data)]
    if picture.encoding is not Encoding.JPEG or chance.random() < 0.5:
        fields.append((b"encoding", picture.encoding.value.encode()))
    if picture.width:
        fields += [(b"width", str(picture.width).encode()), (b"height", str(picture.height).encode())]
    for name in (b"seq", b"captured_at", b"part_id", b"deadline_ms", b"reply_to"):
        if chance.random() < 0.05:
            fields.append((name, _value(chance)))
    if chance.random() < 0.15:
        for _ in range(chance.choice((1, 1, 2, 4))):
            _spoil(chance, fields)
    return [part for field in fields for part in field]


def odd(seed: int, number: int, flat: Flat) -> Flat:
    """What Redis itself would never deliver, once in a while: a name without a value."""
    return flat[:-1] if random.Random(f"odd:{seed}:{number}").random() < 0.01 else flat


def _value(chance: random.Random) -> bytes:
    if chance.random() < 0.05:
        return chance.choice((b"x", b"9", b"\xff", "é".encode())) * chance.choice(_HUGE)
    return chance.choice((*_NUMBERS, *_TEXTS))


def _spoil(chance: random.Random, fields: list[tuple[bytes, bytes]]) -> None:
    kind = chance.randrange(7)
    at = chance.randrange(len(fields)) if fields else 0
    if kind == 0 and fields:
        del fields[at]
    elif kind == 1 and fields:
        fields[at] = (fields[at][0], _value(chance))
    elif kind == 2 and fields:
        fields[at] = (chance.choice(_NAMES), fields[at][1])
    elif kind == 3:
        fields.insert(at, (chance.choice(_NAMES), _value(chance)))
    elif kind == 4:
        fields.append((b"encoding", chance.choice((*(e.value.encode() for e in Encoding), *_TEXTS))))
    elif kind == 5:
        fields.append((chance.choice((b"n", b"\xff")) * chance.choice(_HUGE), b"x"))
    elif chance.random() < 0.2:
        fields += [(b"f%d" % number, b"") for number in range(chance.choice((20, 600, 5_000)))]
    if not fields:  # Redis takes no entry without a field
        fields.append((b"", b""))
