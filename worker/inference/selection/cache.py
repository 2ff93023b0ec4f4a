"""What was made and measured for one bundle on one kind of device of this machine.

A folder a bundle, device and version of anything that a figure depends on; one process at a time works in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import structlog

from worker import __version__
from worker.devices import KINDS, Device, threads
from worker.errors import BundleError
from worker.inference.bundle import ONNX, Bundle, sha256
from worker.inference.conversion import can_convert, convert
from worker.inference.engines import Variant
from worker.inference.own_process import last_words, run_in_own_process
from worker.inference.selection.measure import Measurement

log = structlog.get_logger()

_TIMEOUT_S = 45.0  # well under work.start_timeout_s, within which a worker that is replaced gets further each time
_BELIEVED_S = 3600.0
_KEPT_FOLDERS = 16
_FOLDERS = "engines"


class EngineCache:
    """Use it as `with EngineCache.opened(…)`, which waits until no other process is at it."""

    def __init__(self, folder: Path, bundle: Bundle, device: Device, max_batch: int, *, lasting: bool) -> None:
        self._folder = folder
        self._lasting = lasting
        self._bundle = bundle
        self._device = device
        self._max_batch = max_batch

    @classmethod
    @contextmanager
    def opened(cls, root: Path, bundle: Bundle, device: Device, max_batch: int) -> Iterator[EngineCache]:
        """The cache for this bundle and device below `root`, or one for this time only where that cannot be used."""
        wanted = root / _FOLDERS / _key(bundle, device, max_batch)
        with _locked(wanted) as folder:
            yield cls(folder, bundle, device, max_batch, lasting=folder == wanted)

    def bundle_with_graphs(self, *, needed: bool) -> Bundle:
        """The bundle, with an ONNX graph made here where it brings none and one is needed and can be made."""
        if self._bundle.onnx is None and needed and can_convert() and self._lasting:
            graph, known = self._folder / ONNX, self._folder / f"{ONNX}.sha256"
            if not (graph.is_file() and known.is_file() and known.read_text() == sha256(graph)):
                self._convert(graph, known)
            if graph.is_file():
                self._bundle = replace(self._bundle, onnx=graph)
        return self._bundle

    def _convert(self, graph: Path, known: Path) -> None:
        failed = self._folder / f"{ONNX}.problem"
        if _is_recent(failed):
            log.warning("no ONNX graph: only paddle can run this model", error=failed.read_text())
            return
        try:
            graph.unlink(missing_ok=True)
            convert(self._bundle.folder, graph)
            _write(known, sha256(graph))
        except (BundleError, OSError) as error:
            log.warning("no ONNX graph: only paddle can run this model", error=str(error))
            with suppress(OSError):
                graph.unlink(missing_ok=True)
                _write(failed, str(error))

    def measured(self, variant: Variant) -> Measurement:
        """What this variant does here; measured in a process of its own, unless that was done before.

        What went wrong is believed for an hour: it may pass, but a worker that is replaced should not wait again.
        """
        file = self._folder / f"{variant.engine}-{variant.precision}.json"
        with suppress(OSError, ValueError, TypeError):
            known = Measurement(**json.loads(file.read_text()))
            if not known.problem or _is_recent(file):
                return known
        measurement = self._measure(variant)
        with suppress(OSError):  # a full disk: then it is measured again next time
            _write(file, json.dumps(asdict(measurement)))
        return measurement

    def _measure(self, variant: Variant) -> Measurement:
        try:
            done = run_in_own_process("worker.inference.selection.measure", self._order(variant), _TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return _without_scores(variant, f"not measured within {_TIMEOUT_S:.0f} s")
        try:
            return Measurement(**json.loads(done.stdout.splitlines()[-1]))
        except (IndexError, ValueError, TypeError):
            return _without_scores(variant, f"it ended with exit code {done.returncode}: {last_words(done)}")

    def _order(self, variant: Variant) -> dict[str, str | int]:
        return {
            "folder": str(self._bundle.folder),
            "onnx": str(self._bundle.onnx or ""),
            "device": str(self._device),
            "engine": variant.engine,
            "precision": variant.precision,
            "max_batch": self._max_batch,
        }


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """This folder, for one process at a time, or a passing one where it cannot be made or written to."""
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / "lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.utime(folder)
            _forget_old(folder)
        except OSError as error:
            what = "cache not usable: engines are measured at each start, and no graph is made"
            log.warning(what, folder=str(folder), error=str(error))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="line-worker-engines-")))
        yield folder


def _without_scores(variant: Variant, problem: str) -> Measurement:
    return Measurement(variant.engine, variant.precision, [], math.inf, problem)


def _is_recent(file: Path) -> bool:
    return file.exists() and time.time() - file.stat().st_mtime < _BELIEVED_S


def _write(file: Path, text: str) -> None:
    part = file.with_name(f"{file.name}.part")
    part.write_text(text)
    part.replace(file)


def _key(bundle: Bundle, device: Device, max_batch: int) -> str:
    """A name for all that a measurement depends on."""
    place = "" if device.kind == "cpu" else str(device)  # two accelerators may differ
    parts = [bundle.digest(), device.kind, place, str(threads(device)), str(max_batch), __version__, _processor()]
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            parts.append(f"{package} {version(package)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


_PACKAGES = (*(kind.package for kind in KINDS.values()), "openvino", "onnxruntime", "onnxruntime-gpu")


def _processor() -> str:
    """What it calls itself and what it can do."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in reversed(lines)}
        return "\n".join(told.get(name, "") for name in ("model name", "flags", "Features"))
    return platform.processor()


def _forget_old(used: Path) -> None:
    folders = sorted(used.parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[_KEPT_FOLDERS:]:
        if folder != used:
            shutil.rmtree(folder, ignore_errors=True)
