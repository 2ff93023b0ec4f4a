"""The chunks of a PNG: checked, and reduced to those that decide its pixels."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from worker.errors import ImageError

_MAX_CHUNKS = 65_536  # of image data there are a few thousand in the largest files
_ANCILLARY_KEPT = (b"tRNS", b"eXIf")
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
_UNCHECKED = 2 * 2**20  # bytes: packed 1032 to 1 at most, they unpack in a few seconds whatever they hold
_STEP = 2**14  # so that one step unpacks to 16 MB at most


def pixels_only(data: bytes) -> bytes:
    """The PNG without comments, colour profiles and the like, which may unpack to much more than they are.

    Raises:
        ImageError: `damaged` where a checksum is wrong or a chunk is missing or stands twice, `truncated` where the
            file ends before its end chunk, `unsupported` where it is animated or has absurdly many chunks,
            `too_large` where its data unpack to much more than its pixels: the decoder would go on for minutes.
    """
    view = memoryview(data)
    kept: list[memoryview] = [view[:8]]
    packed: list[memoryview] = []
    seen: set[bytes] = set()
    for kind, chunk in _chunks(view):
        if kind == b"acTL":
            raise ImageError("unsupported", "an animated png: a frame is one picture")
        if not (kind[:1].isupper() or kind in _ANCILLARY_KEPT):
            continue
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise ImageError("damaged", f"the png's chunk {kind!r} does not match its checksum")
        if kind in seen:  # libpng would write a line to the log for each
            raise ImageError("damaged", f"the png's chunk {kind!r} stands twice")
        if kind == b"IDAT":
            packed.append(chunk[8:-4])
        else:
            seen.add(kind)
        kept.append(chunk)
    if not packed:
        raise ImageError("damaged", "the png holds no image data")
    _check_unpacked(packed, data[16:29])
    # Never what stands behind the end: OpenCV reads on, and makes room for as much as a chunk's length there says.
    return data if sum(map(len, kept)) == len(data) else b"".join(kept)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Each chunk's kind and all its bytes, to the end chunk."""
    at = 8
    for _ in range(_MAX_CHUNKS):
        kind = bytes(view[at + 4 : at + 8])
        end = at + 12 + int.from_bytes(view[at : at + 4], "big")
        if end > len(view):
            raise ImageError("truncated", f"the png ends early, after {len(view)} bytes")
        yield kind, view[at:end]
        if kind == b"IEND":
            return
        at = end
    raise ImageError("unsupported", f"the png has more than {_MAX_CHUNKS} chunks")


def _check_unpacked(packed: Sequence[memoryview], header: bytes) -> None:
    """That the data unpack to about as many bytes as the header's pixels take."""
    if sum(map(len, packed)) <= _UNCHECKED:
        return
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    row = 1 + width * header[8] * _SAMPLES.get(header[9], 4) // 8
    most = 2 * row * height + 2**20  # interlaced pictures take somewhat more than their rows
    unpacker, size = zlib.decompressobj(), 0
    for piece in (part[at : at + _STEP] for part in packed for at in range(0, len(part), _STEP)):
        if unpacker.eof:
            return
        try:
            size += len(unpacker.decompress(piece))
        except zlib.error as error:
            raise ImageError("damaged", f"the png's data cannot be unpacked: {error}") from error
        if size > most:
            raise ImageError("too_large", f"the png's data unpack to more than {most} bytes")
