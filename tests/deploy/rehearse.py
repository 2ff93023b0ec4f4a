"""Brings docker-compose.yml up with its demo cameras, kills each service, takes the stack down and brings it up again.

    python tests/deploy/rehearse.py --compose 'docker compose'        or podman-compose, wherever that is

At each step it is asked whether verdicts flow, whether the ledger's difference is 0, and whether Prometheus has every
target up; a table says so. It takes about five minutes beside the build, and ends with the stack down, its images and,
unless --wipe is given, its volumes kept. A stack of the same name must not be in use: it would be killed too.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SERVICES = ("redis", "worker", "alerts", "gateway", "demo-cameras", "prometheus", "alertmanager", "grafana")
JOBS = {"worker", "alerts", "gateway", "cameras", "prometheus", "alertmanager"}
PATIENCE_S = 240.0
AWAY_S = 5.0
LONGEST_S = 1800.0  # a build without a cache


@dataclass
class Stack:
    """The stack by its own commands, and what was found so far."""

    compose: list[str]
    rows: list[tuple[str, bool, str]] = field(default_factory=list)

    def call(self, *arguments: str, check: bool = True) -> str:
        command = [*self.compose, "--profile", "demo", *arguments]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONGEST_S)
        except subprocess.TimeoutExpired as error:
            raise SystemExit(f"{shlex.join(command)} did not end: {error.stdout!r} {error.stderr!r}") from None
        if check and done.returncode:
            raise SystemExit(f"{' '.join(self.compose)} {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, name: str) -> None:
        """Podman may say that what a service waits for has ended already; the next try starts it."""
        for _ in range(5):
            self.call("start", name, check=False)
            if "here" in self.call("exec", "-T", name, "echo", "here", check=False):
                return
            time.sleep(1.0)

    def ledger(self) -> dict[str, Any]:
        """The books; empty where nobody can tell them."""
        said = self.call("exec", "-T", "worker", "line-worker", "ledger", "--json", check=False)
        return next((json.loads(line) for line in said.splitlines() if line.startswith("{")), {})

    def redis(self, *command: str) -> str:
        login = 'redis-cli --no-raw --no-auth-warning --user admin --pass "$(cat /secrets/redis_admin_password)"'
        return self.call("exec", "-T", "redis", "sh", "-c", f"{login} {shlex.join(command)}").strip()

    def kept(self, line: str) -> set[str]:
        """What has to outlast the stack: the ids of results and alerts, and the keys of the alerts' state."""
        found = {
            f"{name} {entry}"
            for name in ("results", "alerts")
            for entry in re.findall(r'"(\d+-\d+)"', self.redis("XRANGE", f"{{{line}}}:{name}", "-", "+"))
        }
        return found | set(re.findall(r'"(.*)"', self.redis("KEYS", f"{{{line}}}:alarm:*")))

    def passwords(self) -> str:
        return self.call("exec", "-T", "redis", "sh", "-c", "sha256sum /secrets/*")

    def verdicts(self) -> int:
        return sum(self.ledger().get("verdicts", {}).values())

    def jobs_up(self, since: float) -> set[str]:
        """The jobs whose targets were all up when Prometheus asked them last, and that was after `since`."""
        try:
            with urllib.request.urlopen("http://127.0.0.1:9090/api/v1/targets", timeout=5) as answer:
                active = json.load(answer)["data"]["activeTargets"]
        except (OSError, ValueError):
            return set()
        jobs = {target["labels"]["job"] for target in active}
        away = {
            target["labels"]["job"]
            for target in active
            if target["health"] != "up" or datetime.fromisoformat(target["lastScrape"]).timestamp() < since
        }
        return jobs - away

    def is_well(self, above: int, since: float = 0.0) -> bool:
        books = self.ledger()
        return (
            sum(books.get("verdicts", {}).values()) > above
            and books.get("ledger_difference") == 0
            and is_ready()
            and self.jobs_up(since) == JOBS
        )

    def check(self, what: str, done: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """A row of the table: it comes true within the patience, or does not."""
        began = time.monotonic()
        came = done()
        while not came and time.monotonic() - began < patience_s:
            time.sleep(1.0)
            came = done()
        books = self.ledger()
        said = f"{time.monotonic() - began:4.0f} s   verdicts {sum(books.get('verdicts', {}).values())}"
        said += f"   difference {books.get('ledger_difference', '?')}   dead {books.get('dead', '?')}"
        self.rows.append((what, came, said))
        print(f"{'ok    ' if came else 'FAILED'}  {what:<42} {said}", flush=True)


def is_ready() -> bool:
    try:
        with urllib.request.urlopen("http://127.0.0.1:8080/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def kill_each(stack: Stack, line: str) -> None:
    for name in SERVICES:
        before, above = stack.kept(line), stack.verdicts()
        stack.call("kill", "-s", "KILL", name) if stack.compose[-1] == "compose" else stack.call("kill", name)
        time.sleep(AWAY_S)
        stack.start(name)
        stack.check(f"{name}: killed, and back", partial(stack.is_well, above + 10, time.time()))
        if lost := before - stack.kept(line):
            stack.rows.append((f"{name}: nothing is lost by it", False, ""))
            print(f"FAILED  lost by killing {name}: {len(lost)} entries, {sorted(lost)[0]} for one", flush=True)


def down_and_up(stack: Stack, line: str) -> None:
    stack.call("stop", "demo-cameras")
    stack.check("the line comes to rest", lambda: stack.ledger().get("backlog") == 0)
    time.sleep(AWAY_S)  # what is on its way to the alerts
    before, passwords = stack.kept(line), stack.passwords()
    verdicts = stack.verdicts()
    stack.call("down")
    stack.call("up", "-d")
    stack.check("down and up again: it serves", is_ready)
    stack.check(
        "results, alerts, their state, passwords kept",
        lambda: before <= stack.kept(line) and stack.passwords() == passwords and stack.verdicts() >= verdicts,
        patience_s=10.0,
    )
    stack.check("verdicts go on from there", partial(stack.is_well, verdicts + 10, time.time()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compose", default="docker compose", help="the command that reads docker-compose.yml")
    parser.add_argument("--no-build", action="store_true", help="take the images that are there")
    parser.add_argument("--line", default="line1", help="LINE of .env")
    parser.add_argument("--wipe", action="store_true", help="delete the volumes at the start and at the end")
    options = parser.parse_args()
    stack = Stack(shlex.split(options.compose))
    wipe = ["-v"] if options.wipe else []
    stack.call("down", *wipe, check=False)
    stack.call("up", "-d", *([] if options.no_build else ["--build"]))
    try:
        stack.check("up: verdicts flow, every target is up", lambda: stack.is_well(10))
        kill_each(stack, options.line)
        down_and_up(stack, options.line)
    finally:
        stack.call("down", *wipe, check=False)
    failed = [what for what, came, _ in stack.rows if not came]
    print(
        f"\n{len(stack.rows) - len(failed)} of {len(stack.rows)} as they should be"
        + "".join(f"\n  {x}" for x in failed)
    )
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
