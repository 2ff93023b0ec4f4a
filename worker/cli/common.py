"""What the commands share: the settings options, and errors that end with their message and exit code."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from worker.errors import LineError
from worker.settings import load

Command = Callable[..., Any]
_SHARED = {"redis_url": "redis.url", "line": "line", "log_level": "log.level"}


def settings_options(
    extra: dict[str, str] | None = None, *, hand_over: str = "settings"
) -> Callable[[Command], Command]:
    """Add `--config`, `--redis`, `--line` and `--log-level`, and hand the command a ready `settings`.

    Args:
        extra: parameters of the command that are settings too: parameter name → dotted settings name. They
            override the environment and the file where given, and are not passed on.
        hand_over: the keyword that takes the `Settings`.
    """
    names = _SHARED | (extra or {})

    def decorate(command: Command) -> Command:
        @click.option("--config", type=click.Path(path_type=Path), help="YAML file with settings; also LINE_CONFIG.")
        @click.option("--redis", "redis_url", metavar="URL", help="Where Redis is; also LINE_REDIS__URL.")
        @click.option("--line", metavar="NAME", help="The line's name; also LINE_LINE.")
        @click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error; also LINE_LOG__LEVEL.")
        @functools.wraps(command)
        def run(*args: Any, config: Path | None, **values: Any) -> Any:
            flags = {dotted: values.pop(name) for name, dotted in names.items() if name in values}
            settings, _ = load(flags, config)
            return command(*args, **values, **{hand_over: settings})

        return run

    return decorate


def option(*names: str, **attributes: Any) -> Callable[[Command], Command]:
    """`click.option`, each of whose flags may be written with hyphens or, as PaddleX has them, with underscores."""
    flags = [name for name in names if name.startswith("--")]
    also = [f"--{flag[2:].replace('-', '_')}" for flag in flags if "-" in flag[2:]]
    return click.option(*names, *also, **attributes)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM, SIGINT and a closing terminal set; a second signal ends the process at once."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        if stop.is_set():
            raise SystemExit(128 + number)
        # Not here: the interrupted main thread may be inside the event and hold its lock.
        threading.Thread(target=stop.set, daemon=True).start()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup has it ignored
        signal.signal(signal.SIGHUP, handle)
    return stop


class ErrorsWithExitCodes(click.Group):
    """A command group in which a LineError ends with its message on standard error and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LineError as error:
            with contextlib.suppress(OSError):  # a full disk or a closed pipe: the exit code says it all the same
                for line in str(error).splitlines():
                    click.echo(f"Error: {line}", err=True)
            ctx.exit(error.exit_code)
