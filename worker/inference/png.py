"""The chunks of a PNG: checked, and reduced to those that decide its pixels."""

from __future__ import annotations

import zlib

from worker.errors import ImageError

_MAX_CHUNKS = 65_536  # of image data there are a few thousand in the largest files
_ANCILLARY_KEPT = (b"tRNS", b"eXIf")
_MAY_REPEAT = b"IDAT"


def pixels_only(data: bytes) -> bytes:
    """The PNG without comments, colour profiles and the like, which may unpack to much more than they are.

    Raises:
        ImageError: `damaged` where a checksum is wrong or a chunk stands twice, `truncated` where the file ends before its end chunk,
            `unsupported` where it is animated or has absurdly many chunks.
    """
    kept, view, at, dropped = [data[:8]], memoryview(data), 8, False
    seen: set[bytes] = set()
    for _ in range(_MAX_CHUNKS):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise ImageError("truncated", f"the png ends early, after {len(data)} bytes")
        if kind == b"acTL":
            raise ImageError("unsupported", "an animated png: a frame is one picture")
        if kind[:1].isupper() or kind in _ANCILLARY_KEPT:
            if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                raise ImageError("damaged", f"the png's chunk {kind!r} at byte {at} does not match its checksum")
            if kind in seen:  # libpng would write a line to the log for each
                raise ImageError("damaged", f"the png's chunk {kind!r} stands twice")
            kept.append(data[at:end])
            seen |= {kind} - {_MAY_REPEAT}
        else:
            dropped = True
        if kind == b"IEND":
            return b"".join(kept) if dropped else data
        at = end
    raise ImageError("unsupported", f"the png has more than {_MAX_CHUNKS} chunks")
