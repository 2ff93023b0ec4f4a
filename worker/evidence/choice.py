"""Which frames evidence is kept of."""

from __future__ import annotations

import hashlib

from worker.types import Result, Verdict

_ALL = 2**64


def is_kept(result: Result, ok_share: float) -> bool:
    """All that is not OK, and of what is a share: by the frame's id, so that it is the same ones whoever asks."""
    if result.verdict is not Verdict.OK:
        return True
    if not ok_share:
        return False
    digest = hashlib.blake2b(result.frame.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < ok_share * _ALL
