"""A worker process: `python -m worker.runtime.child`, started by the supervisor only.

Its first line of standard input is what it is to do, as JSON; when its standard input ends, its supervisor is
gone and it drains and leaves. Nothing heavy is imported before it is pinned to its cores.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from worker.devices import Device, check_cores, parse_devices, pin
from worker.errors import LineError
from worker.runtime.orphans import hold_name
from worker.settings import Settings, from_json


def main() -> None:
    """Run one worker; the exit code says how it ended, the reason file why."""
    order = json.loads(sys.stdin.readline())
    reason = Path(order["reason_file"])
    try:
        _run(order)
    except LineError as error:
        _give(reason, str(error))
        _leave(error.exit_code)
    except BaseException as error:
        _give(reason, f"{type(error).__name__}: {error}")
        _leave(1)
    _leave(0)


def _run(order: dict[str, str]) -> None:
    settings, device, name = from_json(order["settings"]), parse_devices(order["device"])[0], order["name"]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: _leave(0))  # nothing is in hand before it is ready
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    check_cores(device)
    pin(device)  # before any thread is started: each inherits it
    hold_name(Path(order["lock_file"]))
    threading.Thread(target=_follow_parent, args=(stop, settings.work.drain_timeout_s), daemon=True).start()
    _inspect(settings, device, name, Path(order["progress_file"]), Path(order["engine_file"]), stop)


def _inspect(
    settings: Settings, device: Device, name: str, progress_file: Path, engine_file: Path, stop: threading.Event
) -> None:
    import cv2

    from worker import logs
    from worker.inference.selection.choose import open_chosen
    from worker.metrics import WorkerMetrics
    from worker.runtime.inspect import Worker
    from worker.runtime.progress import Progress

    cv2.setNumThreads(1)  # decoding has its threads already; OpenCV's own would fight the device for the cores
    logs.configure(settings.log, worker=name)
    progress = Progress(progress_file)
    predictor, choice = open_chosen(settings, device)
    _give(engine_file, json.dumps(choice.as_dict()))
    predictor.warm_up(settings.batch.max_batch)
    _catch_signals(stop)  # now: a framework may have taken the signals for itself while it was loaded
    Worker(settings, device, name, predictor, progress, WorkerMetrics(name), stop).run()


def _catch_signals(stop: threading.Event) -> None:
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop.set, daemon=True).start())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides


def _follow_parent(stop: threading.Event, drain_timeout_s: float) -> None:
    """Without a supervisor drain, and leave after a while as it would have seen to.

    Where native code hangs and holds the interpreter, this waits too; then the next supervisor ends the process.
    """
    sys.stdin.read()
    stop.set()
    time.sleep(drain_timeout_s)
    _leave(1)


def _give(file: Path, text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk: then the exit code must say it, or the log
        file.write_text(text)


def _leave(code: int) -> None:
    """End at once: native threads of a framework must not hold up an exit that is decided."""
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
