"""The cores of this machine, for tests that want two workers."""

from __future__ import annotations

import os


def two_devices() -> str:
    """Two workers on cores of this machine, which may have but one."""
    cores = sorted(os.sched_getaffinity(0))
    return f"cpu:{cores[0]},cpu:{cores[1]}" if len(cores) > 1 else f"cpu:{cores[0]},cpu"
