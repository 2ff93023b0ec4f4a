"""What evidence costs the line at its worst: every frame is NG, as fast as the workers can.

    .venv/bin/python tests/benchmarks/evidence.py --rounds 5 --report evidence.json

A Redis, a camera and real workers, all on this machine, in turns with evidence and without, on the same frames; with
evidence of every frame (all are NG), and of one in `--one-in` (all are OK). Figures are medians, ratios those of the
medians. CPU is that of the workers, ms a frame; `others` is what other processes took of the machine: with much of it
the rates mean nothing. With `--fps` the camera has that rate in place of all it can.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from worker.bench.frames import parse_shapes, write_frames
from worker.bench.line import open_line
from worker.bench.variants import Variant
from worker.demo import MODEL
from worker.inference.bundle import load_bundle
from worker.settings import LimitSettings, Settings, load

CASES: dict[str, dict[str, Any]] = {
    "without": {},
    "all": {"threshold": 0.0},
    "share": {"threshold": 1e6},
}


def main() -> None:
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="evidence-", dir=options.folder) as scratch:
        folder = Path(scratch)
        shapes = parse_shapes(str(options.side), load_bundle(MODEL).transforms.size)
        write_frames(folder / "frames", shapes, None, options.frames, LimitSettings())
        rounds = [{case: measure(options, folder, case) for case in CASES} for _ in range(options.rounds)]
    report = summary(rounds)
    print(f"{'':<10}{'frames/s':>10}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'others':>9}{'kept':>9}")
    for case, row in report.items():
        print(f"{case:<10}{row['fps']:>10.1f}{row['ratio']:>8.3f}{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}", end="")
        print(f"{row['cpu_ms']:>9.2f}{row['others']:>9.1%}", end="")
        print(f"{row['kept']:>9.1%}" if row["kept"] is not None else "")
    if options.report:
        options.report.write_text(json.dumps(report, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="pixels of a frame's sides (default: 1024)")
    parser.add_argument("--frames", type=int, default=64, help="different pictures (default: 64)")
    parser.add_argument("--rounds", type=int, default=3, help="of all cases, in turns (default: 3)")
    parser.add_argument("--seconds", type=float, default=10.0, help="to measure a case (default: 10)")
    parser.add_argument("--fps", type=float, default=0.0, help="of the camera; 0: as fast as the queue takes them")
    parser.add_argument("--one-in", type=int, default=20, help="frames of which evidence is kept in `share`")
    parser.add_argument("--engine", default="openvino:bf16", help="engine:precision (default: openvino:bf16)")
    parser.add_argument("--devices", default="cpu", help="as in `line-worker run` (default: cpu)")
    parser.add_argument("--folder", type=Path, help="where evidence is written (default: the temporary folder)")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    return parser.parse_args()


def measure(options: argparse.Namespace, scratch: Path, case: str) -> dict[str, Any]:
    """One window of one case, by a line of its own."""
    engine, _, precision = options.engine.partition(":")
    flags: dict[str, Any] = {"model": str(MODEL), "devices": options.devices, "engine": engine, "precision": precision}
    flags |= {"threshold": 0.0} | CASES[case]
    if case != "without":
        flags |= {"evidence.folder": str(scratch / "evidence"), "evidence.ok_share": 1 / options.one_in}
    with open_line(_load, flags, scratch / "frames", scratch, threading.Event()) as line:
        line.start(str(options.side), {Variant(engine, precision)})
        flow = line.measure(str(options.side), options.seconds, 200.0, options.fps)
        counts = evidence_counts(line._settings)
    latencies = statistics.quantiles(flow.latencies_ms, n=100)
    row = {"fps": flow.fps, "p50_ms": latencies[49], "p99_ms": latencies[98], "kept": None}
    row |= {"cpu_ms": flow.cpu_ms["worker"], "others": flow.others_share}
    if total := sum(counts.values()):
        row["kept"] = counts["written"] / total
    print(f"{case}: {row}", flush=True)
    return row


def evidence_counts(settings: Settings) -> Counter[str]:
    """Frames written and dropped, as the line's metrics have them."""
    address = f"http://{settings.metrics.host}:{settings.metrics.port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    counts: Counter[str] = Counter()
    for family in families:
        if family.name in ("line_evidence_written", "line_evidence_dropped"):
            for sample in family.samples:
                counts[family.name.rpartition("_")[2]] += int(sample.value)
    return counts


def summary(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The medians of each case, and its rate by that without evidence."""

    def middle(case: str, name: str) -> float | None:
        values = [one[case][name] for one in rounds if one[case][name] is not None]
        return statistics.median(values) if values else None

    names = ("fps", "p50_ms", "p99_ms", "cpu_ms", "others", "kept")
    report = {case: {name: middle(case, name) for name in names} for case in CASES}
    for row in report.values():
        row["ratio"] = (row["fps"] or 0) / (report["without"]["fps"] or 1)
    return report


def _load(flags: dict[str, Any]) -> Settings:
    return load(flags)[0]


if __name__ == "__main__":
    main()
