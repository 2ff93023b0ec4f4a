"""How the bytes of a picture are damaged: blindly, and with knowledge of the format, so that decoders are reached.

Every function takes the bytes and a source of chance and gives other bytes. The ones that know a format keep its
frame intact (lengths, checksums) where blind damage would be refused at the first glance.
"""

from __future__ import annotations

import itertools
import random
import struct
import zlib
from collections.abc import Callable

from fuzz.seeds import seeds
from worker.types import Encoding

Damage = Callable[[random.Random, bytes], bytes]

_NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    9,
    255,
    256,
    1000,
    16_383,
    16_384,
    32_767,
    32_768,
    65_535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_MAX_GROWTH = 200_000


def damaged(chance: random.Random, data: bytes, encoding: Encoding) -> bytes:
    """The bytes after one to five strokes."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        strokes = _BLIND if chance.random() < 0.4 else _KNOWING.get(encoding, _BLIND)
        data = chance.choice(strokes)(chance, data)[:_MAX_GROWTH]
    return data


def _span(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + int(2 ** chance.uniform(0, 10)))


def _flip(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 20))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _truncate(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _cut(chance: random.Random, data: bytes) -> bytes:
    start, end = _span(chance, data)
    return data[:start] + data[end:]


def _overwrite(chance: random.Random, data: bytes) -> bytes:
    start, end = _span(chance, data)
    with_ = chance.choice((bytes(end - start), b"\xff" * (end - start), chance.randbytes(end - start)))
    return data[:start] + with_ + data[end:]


def _insert(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.randbytes(int(2 ** chance.uniform(0, 10))) + data[at:]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    start, end = _span(chance, data)
    return data[:end] + data[start:end] * chance.choice((1, 1, 2, 50)) + data[end:]


def _splice(chance: random.Random, data: bytes) -> bytes:
    other = chance.choice(seeds()).data
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other)) :]


def _set_number(chance: random.Random, data: bytes) -> bytes:
    """A length or a size near the beginning becomes one that is worth trying."""
    code = chance.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(code)
    if len(data) < size:
        return data
    at = chance.randrange(min(len(data) - size + 1, chance.choice((64, 2_000))))
    return data[:at] + struct.pack(code, chance.choice(_NUMBERS) % 256**size) + data[at + size :]


def _rearrange(chance: random.Random, parts: list[bytes]) -> list[bytes]:
    """A part is left out, doubled, moved, damaged inside, or repeated very often."""
    if not parts:
        return parts
    at, kind = chance.randrange(len(parts)), chance.randrange(5)
    part = parts[at]
    if kind == 0:
        return parts[:at] + parts[at + 1 :]
    if kind == 1:
        return [*parts[:at], part, part, *parts[at + 1 :]]
    if kind == 2:
        rest = parts[:at] + parts[at + 1 :]
        to = chance.randrange(len(parts))
        return [*rest[:to], part, *rest[to:]]
    if kind == 3:
        return [*parts[:at], chance.choice(_BLIND)(chance, part), *parts[at + 1 :]]
    return parts[:at] + [part] * min(2_000, 1 + _MAX_GROWTH // (len(part) + 1)) + parts[at + 1 :]


def _jpeg_parts(data: bytes) -> list[bytes]:
    """From marker to marker; a scan's data stay with its header."""
    cuts = [at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] not in (0, 0xFF, *range(0xD0, 0xD8))]
    return [data[start:end] for start, end in itertools.pairwise([*cuts, len(data)])]


def _jpeg_segments(chance: random.Random, data: bytes) -> bytes:
    return b"".join(_rearrange(chance, _jpeg_parts(data)))


def _jpeg_frame(chance: random.Random, data: bytes) -> bytes:
    """Another size, precision, number of components, sampling or process than the scans were written for."""
    changed = bytearray(data)
    for at in range(2, len(data) - 20):
        if data[at] == 0xFF and data[at + 1] in (0xC0, 0xC1, 0xC2):
            offset = chance.choice((1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13))
            changed[at + offset] = chance.choice((0, 1, 2, 3, 4, 8, 0x11, 0x12, 0x21, 0x22, 0x41, 0xC1, 0xC9, 255))
            break
    return bytes(changed)


def _png_parts(data: bytes) -> list[bytes]:
    """Each chunk's kind and body, without length and checksum."""
    parts, at = [], len(_PNG_HEAD)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        parts.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    return parts


def _png_of(parts: list[bytes]) -> bytes:
    chunks = [struct.pack(">I", max(0, len(part) - 4)) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    return _PNG_HEAD + b"".join(chunks)


def _png_chunks(chance: random.Random, data: bytes) -> bytes:
    return _png_of(_rearrange(chance, _png_parts(data)))


def _png_header(chance: random.Random, data: bytes) -> bytes:
    parts = _png_parts(data)
    if not parts or len(parts[0]) < 17:
        return data
    header = bytearray(parts[0])
    if chance.random() < 0.5:
        at = chance.choice((4, 8))
        header[at : at + 4] = struct.pack(">I", chance.choice(_NUMBERS))
    else:
        header[chance.randrange(12, 17)] = chance.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return _png_of([bytes(header), *parts[1:]])


def _png_pixels(chance: random.Random, data: bytes) -> bytes:
    """Other rows than the header promises, packed correctly: too few, too many, unknown filters."""
    parts = _png_parts(data)
    packed = b"".join(part[4:] for part in parts if part[:4] == b"IDAT")
    try:
        rows = zlib.decompressobj().decompress(packed, 10**6)
    except zlib.error:
        return data
    body = b"IDAT" + zlib.compress(chance.choice(_BLIND)(chance, rows))
    kept = [part for part in parts if part[:4] != b"IDAT"]
    return _png_of([*kept[:-1], body, *kept[-1:]])


def _png_more(chance: random.Random, data: bytes) -> bytes:
    """Chunks that unpack to a lot, or that are seldom seen."""
    parts = _png_parts(data)
    bomb = zlib.compress(bytes(chance.choice((10, 10**6))), 9)
    kind = chance.choice(
        (b"zTXta\0\0", b"iTXta\0\1\0\0\0", b"iCCPa\0\0", b"eXIfMM\0*", b"tRNS", b"PLTE", b"acTL", b"sPLTa\0")
    )
    more = [kind + chance.choice((bomb, chance.randbytes(6), b""))] * chance.choice((1, 2, 100))
    at = chance.randrange(len(parts) + 1)
    return _png_of(parts[:at] + more + parts[at:])


def _riff_chunks(chance: random.Random, data: bytes) -> bytes:
    parts, at = [], 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        parts.append(data[at : at + 8 + length + length % 2])
        at += 8 + length + length % 2
    body = b"WEBP" + b"".join(_rearrange(chance, parts))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff_size(chance: random.Random, data: bytes) -> bytes:
    at = chance.choice((20, 21, 24, 26, 27, 28, 29))
    if len(data) <= at + 4:
        return data
    return data[:at] + struct.pack("<H", chance.choice(_NUMBERS) & 0xFFFF) + data[at + 2 :]


def _bmp_header(chance: random.Random, data: bytes) -> bytes:
    at = chance.choice((10, 14, 18, 22, 26, 28, 30, 34, 46, 50, 54, 58))
    if len(data) < at + 4:
        return data
    number = chance.choice((*_NUMBERS, 4, 12, 16, 24, 32, 40, 54, 64, 108, 124, 2**32 - 8))
    if at in (26, 28):
        return data[:at] + struct.pack("<H", number & 0xFFFF) + data[at + 2 :]
    return data[:at] + struct.pack("<I", number) + data[at + 4 :]


_BLIND: tuple[Damage, ...] = (_flip, _truncate, _cut, _overwrite, _insert, _repeat, _splice, _set_number)
_KNOWING: dict[Encoding, tuple[Damage, ...]] = {
    Encoding.JPEG: (_jpeg_segments, _jpeg_segments, _jpeg_frame),
    Encoding.PNG: (_png_chunks, _png_header, _png_pixels, _png_more),
    Encoding.WEBP: (_riff_chunks, _riff_size),
    Encoding.BMP: (_bmp_header,),
}
