"""The faults. Each is a generator: up to its `yield` it breaks something, after it it mends it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cameras import FOREIGN, ForeignCamera
from pictures import FAILER, HANGER, KILLER, bomb, trap
from servers import SentinelRedis, SingleRedis
from stack import Stack


@dataclass
class Scene:
    """All that a fault may lay hands on."""

    stack: Stack
    redis: Any  # SingleRedis or SentinelRedis, as the fault says
    foreign: ForeignCamera
    chance: random.Random


Break = Callable[[Scene], Iterator[None]]


@dataclass(frozen=True)
class Fault:
    """A fault by name, and for how many seconds it lasts at least and at most."""

    name: str
    strike: Break
    lasts_s: tuple[float, float]
    needs: tuple[type, ...]
    alone: bool = False


FAULTS: list[Fault] = []


def fault(
    name: str,
    lasts_s: tuple[float, float] = (0.0, 0.0),
    needs: tuple[type, ...] = (SingleRedis, SentinelRedis),
    alone: bool = False,
) -> Callable[[Break], Break]:
    """Register a fault; `needs`: the kinds of Redis that it can strike; `alone`: not together with another."""

    def register(strike: Break) -> Break:
        FAULTS.append(Fault(name, strike, lasts_s, needs, alone))
        return strike

    return register


def _any_worker(scene: Scene) -> int | None:
    workers = scene.stack.workers()
    return scene.chance.choice(workers) if workers else None


def _send(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@fault("worker killed")
def worker_killed(scene: Scene) -> Iterator[None]:
    _send(_any_worker(scene), signal.SIGKILL)
    yield


@fault("worker terminated")
def worker_terminated(scene: Scene) -> Iterator[None]:
    _send(_any_worker(scene), signal.SIGTERM)
    yield


@fault("worker stopped", (0.5, 6.0))
def worker_stopped(scene: Scene) -> Iterator[None]:
    pid = _any_worker(scene)
    _send(pid, signal.SIGSTOP)
    yield
    _send(pid, signal.SIGCONT)


@fault("both workers killed")
def both_workers_killed(scene: Scene) -> Iterator[None]:
    for pid in scene.stack.workers():
        _send(pid, signal.SIGKILL)
    yield


@fault("supervisor killed")
def supervisor_killed(scene: Scene) -> Iterator[None]:
    yield from _end(scene.stack.run, signal.SIGKILL)


@fault("supervisor terminated")
def supervisor_terminated(scene: Scene) -> Iterator[None]:
    yield from _end(scene.stack.run, signal.SIGTERM)


@fault("supervisor stopped", (0.5, 5.0))
def supervisor_stopped(scene: Scene) -> Iterator[None]:
    yield from _stop(scene.stack.run)


@fault("alert process killed")
def alerts_killed(scene: Scene) -> Iterator[None]:
    yield from _end(scene.stack.alerts, signal.SIGKILL)


@fault("alert process terminated")
def alerts_terminated(scene: Scene) -> Iterator[None]:
    yield from _end(scene.stack.alerts, signal.SIGTERM)


@fault("alert process stopped", (0.5, 5.0))
def alerts_stopped(scene: Scene) -> Iterator[None]:
    yield from _stop(scene.stack.alerts)


def _end(service: Any, number: signal.Signals) -> Iterator[None]:
    service.signal(number)
    service.wait()
    yield
    service.start()


def _stop(service: Any) -> Iterator[None]:
    service.signal(signal.SIGSTOP)
    yield
    service.signal(signal.SIGCONT)


@fault("Redis killed", (0.0, 1.5), needs=(SingleRedis,))
def redis_killed(scene: Scene) -> Iterator[None]:
    scene.redis.server.kill()
    yield
    scene.redis.server.start()


@fault("Redis terminated", (0.0, 1.5), needs=(SingleRedis,))
def redis_terminated(scene: Scene) -> Iterator[None]:
    scene.redis.server.terminate()
    yield
    scene.redis.server.start()


@fault("Redis stopped", (0.5, 4.0), needs=(SingleRedis,))
def redis_stopped(scene: Scene) -> Iterator[None]:
    scene.redis.server.pause()
    yield
    scene.redis.server.resume()


@fault("Redis paused (CLIENT PAUSE)", (0.5, 3.0), needs=(SingleRedis,))
def redis_paused(scene: Scene) -> Iterator[None]:
    scene.redis.client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    yield
    scene.redis.client.execute_command("CLIENT", "UNPAUSE")


# Sentinels that are cut off begin a failover, which is a fault of its own.
@fault("clients cut (CLIENT KILL)", needs=(SingleRedis,))
def clients_cut(scene: Scene) -> Iterator[None]:
    for _ in range(5):
        scene.redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(0.1)
    yield


@fault("scripts flushed")
def scripts_flushed(scene: Scene) -> Iterator[None]:
    for _ in range(5):
        scene.redis.client.execute_command("SCRIPT", "FLUSH")
        time.sleep(0.1)
    yield


@fault("workers' group destroyed (NOGROUP)")
def group_destroyed(scene: Scene) -> Iterator[None]:
    with suppress(Exception):
        scene.redis.client.execute_command("XGROUP", "DESTROY", scene.stack.keys.frames, "inspect")
    yield


@fault("alerts' group destroyed (NOGROUP)")
def alerts_group_destroyed(scene: Scene) -> Iterator[None]:
    with suppress(Exception):
        scene.redis.client.execute_command("XGROUP", "DESTROY", scene.stack.keys.results, "alerting")
    yield


@fault("a consumer deleted with its frames")
def consumer_deleted(scene: Scene) -> Iterator[None]:
    frames = scene.stack.keys.frames
    with suppress(Exception):
        for info in scene.redis.client.execute_command("XINFO", "CONSUMERS", frames, "inspect"):
            name = info["name"] if isinstance(info, dict) else info[1]
            scene.redis.client.execute_command("XGROUP", "DELCONSUMER", frames, "inspect", name)
            break
    yield


@fault("append-only file rewritten", needs=(SingleRedis,))
def file_rewritten(scene: Scene) -> Iterator[None]:
    scene.redis.client.execute_command("BGREWRITEAOF")
    yield


@fault("Redis out of memory (OOM)", (0.5, 3.0), needs=(SingleRedis,))
def out_of_memory(scene: Scene) -> Iterator[None]:
    scene.redis.client.config_set("maxmemory", 1_000_000)
    yield
    scene.redis.client.config_set("maxmemory", 0)


@fault("Redis read-only (a replica)", (0.5, 3.0), needs=(SingleRedis,))
def read_only(scene: Scene) -> Iterator[None]:
    scene.redis.client.execute_command("REPLICAOF", "127.0.0.1", 1)
    yield
    scene.redis.client.execute_command("REPLICAOF", "NO", "ONE")


@fault("Redis' disk full (MISCONF)", (0.5, 3.0), needs=(SingleRedis,), alone=True)
def disk_full(scene: Scene) -> Iterator[None]:
    # What a Redis with a full disk has in memory alone is lost if it is killed then: no software mends that.
    # With `always` Redis ends itself at the first write that fails, which is "Redis killed" again.
    scene.redis.client.config_set("appendfsync", "everysec")
    scene.redis.fill_disk(full=True)
    yield
    scene.redis.fill_disk(full=False)
    time.sleep(2.5)  # it tries again once a second, and flushes once a second
    # Redis 7.0 cuts off what it wrote in part, and goes on behind it in a file that it has begun by a rewrite: the hole
    # that this leaves can not be read when it starts again. So the file is written anew, as the page on faults advises.
    scene.redis.rewrite_file()
    scene.redis.client.config_set("appendfsync", scene.redis.appendfsync)


@fault("network half-open", (0.5, 4.0), needs=(SingleRedis,))
def half_open(scene: Scene) -> Iterator[None]:
    scene.redis.swallow()
    yield
    scene.redis.heal()


@fault("primary killed (Sentinel failover)", needs=(SentinelRedis,))
def primary_killed(scene: Scene) -> Iterator[None]:
    old = scene.redis.trio.kill_primary()
    scene.redis.trio.wait_for_failover(old)
    yield
    scene.redis.trio.revive(old)
    scene.redis.settle()


@fault("primary stopped (Sentinel failover)", needs=(SentinelRedis,))
def primary_stopped(scene: Scene) -> Iterator[None]:
    old = scene.redis.trio.pause_primary()
    scene.redis.trio.wait_for_failover(old)
    yield
    old.resume()
    scene.redis.settle()


@fault("planned failover (Sentinel)", needs=(SentinelRedis,))
def planned_failover(scene: Scene) -> Iterator[None]:
    scene.redis.trio.failover()
    yield
    scene.redis.settle()


@fault("poison frames")
def poison(scene: Scene) -> Iterator[None]:
    picture = trap((90, 90, 90))
    scene.foreign.garbage += [
        ["nonsense", "1"],
        ["camera", "no such/camera", "data", picture],
        ["camera", FOREIGN],
        ["camera", FOREIGN, "data", ""],
        ["camera", FOREIGN, "data", "this is no picture"],
        ["camera", FOREIGN, "data", picture[: len(picture) // 2]],
        ["camera", FOREIGN, "data", picture, "encoding", "gif"],
        ["camera", FOREIGN, "data", picture, "seq", "one"],
        ["camera", FOREIGN, "data", picture, "data", picture],
        ["camera", FOREIGN, "data", bytes(64 * 64), "encoding", "bgr8", "width", "64", "height", "64"],
        [name for number in range(500) for name in (f"field{number}", "x")],
    ]
    yield


@fault("decompression bombs")
def bombs(scene: Scene) -> Iterator[None]:
    scene.foreign.garbage += [["camera", FOREIGN, "data", bomb(), "encoding", "png"]] * 5
    yield


@fault("frames that abort the process")
def killers(scene: Scene) -> Iterator[None]:
    scene.foreign.garbage += [["camera", FOREIGN, "part_id", "killer", "data", trap(KILLER)]]
    yield


@fault("frames that fail in the device")
def failers(scene: Scene) -> Iterator[None]:
    scene.foreign.garbage += [["camera", FOREIGN, "part_id", "failer", "data", trap(FAILER)]] * 3
    yield


@fault("frames that hang the device")
def hangers(scene: Scene) -> Iterator[None]:
    scene.foreign.garbage += [["camera", FOREIGN, "part_id", "hanger", "data", trap(HANGER)]]
    yield
