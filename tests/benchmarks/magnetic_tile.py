"""The whole line on real photographs: fit a bundle, publish every test image from two cameras, and judge the results.

    .venv/bin/python tests/benchmarks/magnetic_tile.py --bundle /tmp/tiles --report tiles.json

Both cameras publish every image of `test/`, as two cameras that look at the same parts: what differs between their
scores is the doing of batches and workers, and is reported. An image's folder is the truth about it.
Exits with 1 where a frame has not exactly one result, or the ledger does not balance.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.metrics import roc_auc_score

from worker.stream.embedded import EmbeddedRedis
from worker.stream.fields import entry_time_ns
from worker.stream.ledger import Ledger
from worker.types import Result, Verdict

sys.path.insert(0, str(Path(__file__).parents[1]))
from system.running import COMMAND, RunningLine

SHARED = Path(os.environ.get("LINE_SHARED_DIR") or Path(__file__).parents[3] / "shared")
TEACHER = "resnet18_imagenet1k_v1_bnfolded_conv1_layer1-3.npz"
CAMERAS = ("left", "right")
GOOD = "good"
TIMEOUT_S = 1_800.0


def main() -> None:
    options = read_options()
    images = list((options.data / "test").rglob("*.png"))
    kinds = {path.stem: path.parent.name for path in images}
    if not images or len(kinds) != len(images):
        sys.exit(f"{options.data}/test: {len(images)} images with {len(kinds)} names; each needs a name of its own")
    with tempfile.TemporaryDirectory(prefix="magnetic-tile-") as scratch:
        bundle = options.bundle or Path(scratch) / "bundle"
        fit_s = None if bundle.exists() else fit(options, bundle)
        results, books = inspect(options.data / "test", bundle, len(CAMERAS) * len(images), Path(scratch))
    report = {"epochs": options.epochs if fit_s else None, "fit_s": fit_s} | judge(results, books, kinds)
    show(report)
    if options.report:
        options.report.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(0 if report["one_result_a_frame"] and report["ledger_difference"] == 0 else 1)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=SHARED / "data" / "magnetic_tile", help="holds train/good and test"
    )
    parser.add_argument("--teacher", type=Path, default=SHARED / "weights" / TEACHER, help="a name, or weights")
    parser.add_argument("--bundle", type=Path, help="the model: taken where it is there, else fitted and kept")
    parser.add_argument("--epochs", type=int, default=100, help="of the fit (default: 100)")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    return parser.parse_args()


def fit(options: argparse.Namespace, bundle: Path) -> float:
    """Train on the good images; the seconds that it took."""
    began = time.monotonic()
    command = [*COMMAND, "train", "--data", options.data / "train" / GOOD, "--teacher", options.teacher]
    subprocess.run([*map(str, command), "--output", str(bundle), "--epochs", str(options.epochs)], check=True)
    return round(time.monotonic() - began, 1)


def inspect(folder: Path, bundle: Path, frames: int, scratch: Path) -> tuple[list[Result], Ledger]:
    """Publish every image below `folder` from each camera to two workers, and wait for all results."""
    with EmbeddedRedis() as server, RunningLine(server.url, scratch, model=bundle) as line:
        line.start_workers()
        line.start("produce", "produce", *(f"{camera}={folder}" for camera in CAMERAS), "--part-id-from", "name")
        line.finish("produce", TIMEOUT_S)
        line.wait_until(lambda: line.ledger().backlog == 0, TIMEOUT_S, f"{frames} frames are inspected")
        return line.results(), line.ledger()


def judge(results: list[Result], books: Ledger, kinds: dict[str, str]) -> dict[str, Any]:
    """The figures of the report."""
    wanted = {(camera, name) for camera in CAMERAS for name in kinds}
    found = Counter((result.camera, result.part_id) for result in results)
    scored = [result for result in results if result.score is not None]
    truth = [kinds[result.part_id] for result in scored]
    bad = sorted({kind for kind in truth if kind != GOOD})
    times = [entry_time_ns(result.id) / 1e9 for result in results]
    return {
        "frames": books.produced,
        "results": len(results),
        "one_result_a_frame": found.keys() == wanted and set(found.values()) == {1},
        "ledger_difference": books.difference,
        "verdicts": books.verdicts,
        "dead": books.dead,
        "workers": dict(Counter(result.worker.partition(":")[2] for result in results)),
        "seconds": round(times[-1] - times[0], 2),
        "fps": round((len(times) - 1) / (times[-1] - times[0]), 2),
        "image_auroc": auroc(scored, truth, bad),
        "image_auroc_by_kind": {kind: auroc(scored, truth, [kind]) for kind in bad},
        "rejected_by_kind": {kind: rejected(scored, truth, kind) for kind in (GOOD, *bad)},
        "score_difference_between_cameras": between_cameras(scored),
    }


def auroc(results: Sequence[Result], truth: Sequence[str], bad: Sequence[str]) -> float:
    """How well the score tells these kinds from the good ones: 0.5 is chance, 1 is always."""
    chosen = [(result.score, kind != GOOD) for result, kind in zip(results, truth, strict=True) if kind in (GOOD, *bad)]
    return round(float(roc_auc_score([is_bad for _, is_bad in chosen], [score for score, _ in chosen])), 4)


def rejected(results: Sequence[Result], truth: Sequence[str], kind: str) -> float:
    """The share of this kind that the bundle's own threshold rejects."""
    verdicts = [result.verdict for result, its_kind in zip(results, truth, strict=True) if its_kind == kind]
    return round(verdicts.count(Verdict.NG) / len(verdicts), 4)


def between_cameras(results: Sequence[Result]) -> float:
    """The largest relative difference of two scores of one image."""
    scores: dict[str, list[float]] = {}
    for result in results:
        scores.setdefault(result.part_id, []).append(result.score or 0.0)
    return max((max(both) - min(both)) / max(both) for both in scores.values())


def show(report: dict[str, Any]) -> None:
    print(f"{report['results']} results of {report['frames']} frames, one each: {report['one_result_a_frame']}")
    print(f"ledger difference {report['ledger_difference']}, dead {report['dead']}, verdicts {report['verdicts']}")
    fitted = f", fit {report['fit_s']} s" if report["fit_s"] else ""
    print(f"{report['fps']} frames/s by {report['workers']}{fitted}")
    print(f"scores of the same image by the two cameras differ by {report['score_difference_between_cameras']:.1e}\n")
    print(f"{'kind':<12}{'AUROC':>8}{'rejected':>10}")
    for kind, share in report["rejected_by_kind"].items():
        value = report["image_auroc_by_kind"].get(kind)
        print(f"{kind:<12}{'' if value is None else f'{value:.4f}':>8}{share:>10.1%}")
    print(f"{'all':<12}{report['image_auroc']:>8.4f}")


if __name__ == "__main__":
    main()
