"""Trainings of seconds, through the commands."""

from pathlib import Path

from click.testing import CliRunner, Result

from worker.cli import main
from worker.inference.bundle import Manifest

FITTER = ["--fitter", "paddle"]
AUTO = ["--statistics", "auto"]  # the default, which takes a few seconds more
QUICK = [
    "--teacher",
    "random",
    "--size",
    "64x64",
    "--batch-size",
    "4",
    *FITTER,
    "--no-graphs",
    "--statistics",
    "running",
]


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def export(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def made(folder: Path) -> tuple[bytes, float]:
    """What a model is: its parameters and its threshold."""
    manifest = Manifest.model_validate_json((folder / "bundle.json").read_bytes())
    return (folder / "inference.pdiparams").read_bytes(), manifest.threshold
