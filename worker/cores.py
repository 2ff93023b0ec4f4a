"""How many CPU cores this process may keep busy: those that it may run on, and no more than its container's share.

A container with `--cpus 2`, or a pod with `limits.cpu: 2`, sees all cores of its host and may run on each. What runs
more threads than it has a share for is stopped for the rest of every 100 ms, with a batch in hand.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")


def usable_cores() -> int:
    """Cores for a process that is pinned to none; a share of 1.5 counts as 2."""
    allowed = len(os.sched_getaffinity(0))
    share = cpu_share()
    return allowed if share is None else min(allowed, max(1, math.ceil(share)))


def cpu_share(root: Path = _ROOT) -> float | None:
    """The least share of CPU, in cores, that a control group of this process allows; None: there is no limit.

    Reads version 1 and 2 of control groups, below `root`. In a container the group's own path may not exist, as only
    the container's groups are to be seen there: then those at the top are its own.
    """
    shares = [share for folder in _groups(root) if (share := _share_of(folder))]
    return min(shares, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of all groups that limit this process's CPU, from its own up to the top."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounts = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            tops = [mounts, mounts / "unified"]
        elif "cpu" in controllers.split(","):
            tops = [mounts / controllers, mounts / "cpu"]
        else:
            continue
        for top in tops:
            own = Path(os.path.normpath(f"{top}/{path}"))
            if own.is_relative_to(top):
                yield from (own, *[parent for parent in own.parents if parent.is_relative_to(top)])


def _share_of(group: Path) -> float | None:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)  # `max` is no number, and no limit
    with suppress(OSError, ValueError):
        quota = (group / "cpu.cfs_quota_us").read_text()
        if int(quota) > 0:
            return int(quota) / int((group / "cpu.cfs_period_us").read_text())
    return None
