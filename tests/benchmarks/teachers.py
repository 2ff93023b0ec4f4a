"""How good models become by teacher and recipe: trained and judged over several seeds, on a data set with test images.

    .venv/bin/python tests/benchmarks/teachers.py --teachers random builtin resnet18.npz --report teachers.json
    .venv/bin/python tests/benchmarks/teachers.py --teachers t.npz --export "--layer-weights 1,1,1 --statistics running"

Everything goes through the commands `train`, `export` and `evaluate`. Figures are means over the seeds, ± half their
range. With `--keep` what was trained stays, and is not trained again.
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
FIGURES = ("image_auroc", "pixel_auroc", "pro", "false_rejects", "recall")


def main() -> None:
    options = read_options()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="teachers-") as scratch:
        folder = options.keep or Path(scratch)
        for seed in options.seeds:
            for teacher in options.teachers:
                for row in run(options, teacher, seed, folder):
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    show(rows)
    if options.report:
        options.report.write_text(json.dumps({"options": options.train_options, "rows": rows}, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "magnetic_tile", help="in MVTec AD's layout")
    parser.add_argument("--teachers", nargs="+", required=True, help="names or files")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--train-options", default="", help="handed on to train")
    parser.add_argument("--export", action="append", default=[], help="judge an export with these options too")
    parser.add_argument("--keep", type=Path, help="folder in which models and trainings stay")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    return parser.parse_args()


def run(options: argparse.Namespace, teacher: str, seed: int, folder: Path) -> list[dict[str, Any]]:
    """One training, its exports, and what each is worth."""
    name = f"{Path(teacher).name}-{seed}"
    model, began = folder / name, time.monotonic()
    if not (model / "bundle.json").is_file():
        wanted = ["--teacher", teacher, "--seed", str(seed), "--no-graphs", *shlex.split(options.train_options)]
        call("train", "--data", str(options.data), "--output", str(model), *wanted)
    rows = [{"teacher": Path(teacher).name, "seed": seed, "recipe": options.train_options or "default"}]
    rows[0] |= judged(model, options.data) | {"train_s": round(time.monotonic() - began, 1)}
    for number, recipe in enumerate(options.export):
        other = folder / f"{name}-export-{number}"
        if not (other / "bundle.json").is_file():
            call("export", f"{model}.training", "--output", str(other), "--no-graphs", *shlex.split(recipe))
        rows.append({"teacher": Path(teacher).name, "seed": seed, "recipe": recipe} | judged(other, options.data))
    return rows


def judged(model: Path, data: Path) -> dict[str, float]:
    """The figures of a model."""
    found = json.loads(call("evaluate", "--model", str(model), "--data", str(data), "--json"))
    whole, pixels = found["all"], found["all"]["pixels"]
    return {
        "image_auroc": whole["image_auroc"]["value"],
        "pixel_auroc": pixels["auroc"],
        "pro": pixels["pro"],
        "false_rejects": found["false_rejects"]["value"],
        "recall": whole["recall"]["value"],
    }


def call(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def show(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'teacher, recipe':<60}" + "".join(f"{name:>16}" for name in FIGURES))
    for teacher, recipe in dict.fromkeys((row["teacher"], row["recipe"]) for row in rows):
        of_it = [row for row in rows if (row["teacher"], row["recipe"]) == (teacher, recipe)]
        cells = []
        for name in FIGURES:
            values = [row[name] for row in of_it]
            cells.append(f"{sum(values) / len(values):.3f} ± {(max(values) - min(values)) / 2:.3f}")
        print(f"{teacher[:18]}, {recipe[:40]}".ljust(60) + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
