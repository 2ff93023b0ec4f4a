"""What keeping a large folder of evidence within its limits costs, and what one record costs to write.

    .venv/bin/python tests/benchmarks/evidence_folder.py [--files 100000] [--folder DIR]

Makes so many files, four a record, over ten days and five cameras, then sweeps: for the first time, again when nothing
has changed, again when the current day has, with the oldest tenth to go, and with the memory of all of it. Seconds,
of which CPU; beside them how often such a sweep comes at its fastest. Then a record of a megapixel, at each step.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from worker.capture.generated import GOOD, GeneratedLine
from worker.evidence.janitor import Janitor
from worker.evidence.layout import day_of, stem_of
from worker.evidence.record import Record, contents
from worker.evidence.writer import Writer
from worker.inference.postprocess import encode_label_map
from worker.settings import EvidenceSettings, LimitSettings
from worker.types import Frame, Region, Result, Verdict

ENDINGS = ("jpg", "overlay.jpg", "label_map.png", "json")
DAYS, CAMERAS = 10, 5
DAY_NS = 86_400_000_000_000
BLOCK = 4096
RECORDS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000, help="in the folder (default: 100000)")
    parser.add_argument("--folder", type=Path, help="where to make it (default: the system's temporary folder)")
    options = parser.parse_args()
    top = Path(tempfile.mkdtemp(prefix="evidence-", dir=options.folder))
    try:
        sweeps(top, options.files)
        shutil.rmtree(top / "bench")
        record(top)
    finally:
        shutil.rmtree(top)


def sweeps(top: Path, files: int) -> None:
    today = make(top, files)
    now = time.time_ns()
    limits = EvidenceSettings(keep_days=0, max_bytes=0, min_free_bytes=0)
    janitor = Janitor(limits, top, "bench")
    print(f"{files} files, {DAYS} days, {CAMERAS} cameras")
    took("first sweep", lambda: janitor.sweep(now))
    took("again, nothing has changed", lambda: janitor.sweep(now))
    os.utime(today)
    took("again, one folder has changed", lambda: janitor.sweep(now))
    fewer = Janitor(limits.model_copy(update={"max_bytes": int(files * BLOCK / (1 - 0.05) * 0.9)}), top, "bench")
    took("first sweep, a tenth to go", lambda: fewer.sweep(now))
    print(f"{'largest memory':<34}{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:>10.0f} MB")


def make(top: Path, files: int) -> Path:
    """Files of a few bytes, an hour old; the folder of one camera's last day."""
    now, each = time.time_ns(), files // len(ENDINGS) // DAYS // CAMERAS
    folder = top
    for day in range(DAYS):
        for camera in range(CAMERAS):
            at = now - (DAYS - 1 - day) * DAY_NS
            folder = top / "bench" / f"camera{camera}" / day_of(at)
            folder.mkdir(parents=True)
            for number in range(each):
                stem = stem_of(Result(f"{number}-{camera}", "c", Verdict.NG), at + number * 1_000_000)
                for ending in ENDINGS:
                    file = folder / f"{stem}.{ending}"
                    file.write_bytes(b"x")
                    os.utime(file, (now / 1e9 - 3600,) * 2)
            os.utime(folder, (now / 1e9 - 3600,) * 2)
    return folder


def took(what: str, sweep: Callable[[], object]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    sweep()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:<34}{wall:>10.3f} s {cpu:>8.3f} s of CPU, every {max(60, 50 * wall):.0f} s")


def record(top: Path) -> None:
    """A megapixel with a defect, as a JPEG."""
    cv2.setNumThreads(1)
    image = GeneratedLine(1, size=1024).render(0, GOOD).image
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    found = np.zeros((256, 256), np.uint8)
    cv2.circle(found, (90, 120), 20, 255, -1)
    regions = (Region(280, 400, 160, 160, 20_000, 0.1),)
    result = Result("1-1", "c", Verdict.NG, label_map=encode_label_map(found), regions=regions, score=0.1)
    one, limits = Record(Frame("c", data, id="1-1"), result, time.time_ns()), LimitSettings()
    writer = Writer(EvidenceSettings(), top, "bench", limits)
    for what, call in (
        ("decode, draw, encode", lambda: contents(one, "bench", limits)),
        ("all, with the writing", lambda: writer.write(one)),
    ):
        times = []
        for _ in range(RECORDS):
            began = time.process_time()
            call()
            times.append(time.process_time() - began)
        print(f"{what:<34}{statistics.median(times) * 1e3:>10.2f} ms of CPU a record of {len(data)} bytes")


if __name__ == "__main__":
    main()
