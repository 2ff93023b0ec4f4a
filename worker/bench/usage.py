"""What processes have used, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KB_PER_MB = 1000 / 1.024  # the kernel's kB are 1024 bytes, a MB here is 10^6


def cpu_seconds(pid: int) -> float:
    """CPU time of a process since its start, user and system, all its threads."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def machine_cpu_seconds() -> float:
    """CPU time of everything on this machine since it started, and what a host above it has taken."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(None, 9)[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process now and at its highest, in MB of 10^6 bytes."""
    lines = (Path(f"/proc/{pid}/status")).read_text().splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    now, peak = (round(int(status[name][0]) / _KB_PER_MB, 1) for name in ("VmRSS", "VmHWM"))
    return now, peak


def children(pid: int) -> list[int]:
    """The processes that `pid` has started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int(_stat(int(entry.name))[1]) == pid:
                    found.append(int(entry.name))
            except OSError:  # gone while we look
                continue
    return sorted(found)


def cpu_model() -> str:
    """What the CPU calls itself; empty where it does not say."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the command's name, which may hold anything: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
