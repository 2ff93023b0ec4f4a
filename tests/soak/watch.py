"""What the soak looks at from outside: /proc of each process, Redis' INFO, and the line's own metrics."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from pathlib import Path

import redis
from prometheus_client.parser import text_string_to_metric_families

from worker.stream.connection import Client
from worker.stream.fields import entry_time_ns, result_from_fields


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process holds: bytes resident in all and of its own (anonymous), open files, threads."""

    pid: int
    rss: int
    anonymous: int
    fds: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everything, `at` seconds after the first. Latencies are of the last results, in ms: from publish to
    verdict, the wait in a full queue included, and from the worker's read to the verdict."""

    at: float
    processes: dict[str, Usage]
    redis: dict[str, int]
    frames: int
    latencies_ms: list[float]
    work_ms: list[float]


def usage(pid: int) -> Usage | None:
    """What a process holds now; None where it is gone, or goes while we look."""
    process = Path(f"/proc/{pid}")
    try:
        lines = (process / "status").read_text().splitlines()
        fds = sum(1 for _ in (process / "fd").iterdir())
    except OSError:
        return None
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    if "VmRSS" not in status:  # a zombie
        return None
    rss, anonymous = (int(status[name][0]) * 1024 for name in ("VmRSS", "RssAnon"))
    return Usage(pid, rss, anonymous, fds, int(status["Threads"][0]))


def redis_figures(client: redis.Redis) -> dict[str, int]:
    """Bytes that Redis uses, has from the system, and has in its append-only file."""
    memory, persistence = client.info("memory"), client.info("persistence")
    return {
        "used_memory": int(memory["used_memory"]),
        "used_memory_rss": int(memory["used_memory_rss"]),
        "aof_size": int(persistence.get("aof_current_size", 0)),
    }


def inspected(port: int) -> int:
    """Frames with a verdict or a dead letter, by the metrics endpoint of `run`; -1 where it knows of none."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    ended = ("line_frames", "line_dead_letters")
    if not all(name in families for name in ended):
        return -1  # Redis did not answer just now
    return int(sum(one.value for name in ended for one in families[name].samples))


def latencies_ms(client: Client, results: str, count: int) -> tuple[list[float], list[float]]:
    """Of the last results: ms from publish to verdict, and of these what was not the queue's."""
    page = client.execute_command("XREVRANGE", results, "+", "-", "COUNT", count)
    last = [result_from_fields(entry_id.decode(), flat) for entry_id, flat in page]
    whole = [(entry_time_ns(one.id) - one.published_at) / 1e6 for one in last]
    return whole, [ms - one.timings.get("queue", 0.0) for ms, one in zip(whole, last, strict=True)]
