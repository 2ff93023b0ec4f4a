"""How good models become by teacher and recipe: trained and judged over several seeds, on a data set with test images.

    .venv/bin/python tests/benchmarks/teachers.py --teachers random builtin resnet18.npz --report teachers.json
    .venv/bin/python tests/benchmarks/teachers.py --teachers random --train-options="--layer-weights 1,1,1"

Everything goes through the commands `train` and `evaluate`. Figures are means over the seeds, ± half their range.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("LINE_SHARED_DIR") or Path(__file__).parents[3] / "shared")
COMMAND = [sys.executable, "-m", "worker"]
FIGURES = ("image_auroc", "pixel_auroc", "pro", "false_rejects", "recall", "train_s")


def main() -> None:
    options = read_options()
    rows = []
    for teacher in options.teachers:
        for seed in options.seeds:
            with tempfile.TemporaryDirectory(prefix="teachers-") as scratch:
                row = run(options, teacher, seed, Path(scratch))
            rows.append({"teacher": teacher, "seed": seed} | row)
            print(json.dumps(rows[-1]), flush=True)
    show(rows)
    if options.report:
        options.report.write_text(json.dumps({"options": options.train_options, "rows": rows}, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "magnetic_tile", help="in MVTec AD's layout")
    parser.add_argument("--teachers", nargs="+", required=True, help="names or files")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--train-options", default="", help="handed on to train")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    return parser.parse_args()


def run(options: argparse.Namespace, teacher: str, seed: int, scratch: Path) -> dict[str, float]:
    """One training and its evaluation."""
    model, began = scratch / "model", time.monotonic()
    wanted = ["--teacher", teacher, "--seed", str(seed), "--no-graphs", *shlex.split(options.train_options)]
    call("train", "--data", str(options.data), "--output", str(model), *wanted)
    seconds = time.monotonic() - began
    judged = json.loads(call("evaluate", "--model", str(model), "--data", str(options.data), "--json"))
    whole, pixels = judged["all"], judged["all"]["pixels"]
    return {
        "image_auroc": whole["image_auroc"]["value"],
        "pixel_auroc": pixels["auroc"],
        "pro": pixels["pro"],
        "false_rejects": judged["false_rejects"]["value"],
        "recall": whole["recall"]["value"],
        "train_s": round(seconds, 1),
    }


def call(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def show(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'teacher':<44}" + "".join(f"{name:>18}" for name in FIGURES))
    for teacher in dict.fromkeys(row["teacher"] for row in rows):
        of_it = [row for row in rows if row["teacher"] == teacher]
        cells = []
        for name in FIGURES:
            values = [row[name] for row in of_it]
            cells.append(f"{sum(values) / len(values):.3f} ± {(max(values) - min(values)) / 2:.3f}")
        print(f"{Path(teacher).name[:42]:<44}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
