"""Paddle Lite's own converter: `paddle_lite_opt`, of the package paddlelite or of Paddle Lite's releases.

It is a program of its own and not a library here: paddlelite has wheels for Python 3.10 and older alone.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from worker.errors import BundleError, SettingsError
from worker.inference.bundle import Bundle

PROGRAM = "paddle_lite_opt"
_TIMEOUT_S = 300.0
_TOLD = 300  # characters of what it says


def find_converter(named: Path | None = None) -> Path:
    """The converter that was named, or the one on the PATH.

    Raises:
        SettingsError: there is none; says where it comes from.
    """
    found = shutil.which(named or PROGRAM)
    if found is None:
        raise SettingsError(
            f"{named or PROGRAM} is not here: it comes with `pip install paddlelite` in an environment of Python 3.10 "
            f"or older, or from Paddle Lite's releases; put it on the PATH, or name it with --paddle-lite-opt"
        )
    return Path(found)


def optimise(converter: Path, bundle: Bundle, output: Path, target: str, *, half: bool) -> None:
    """Write a bundle, whose graph is a .pdmodel, as Paddle Lite's `output`, an .nb.

    Args:
        target: what it is to run on, as Paddle Lite spells it: `arm`, `x86`, `opencl` …
        half: compute in float16 where the target can.

    Raises:
        BundleError: the converter failed; says how.
    """
    command = [
        str(converter),
        f"--model_file={bundle.graph}",
        f"--param_file={bundle.parameters}",
        f"--optimize_out={output.with_suffix('')}",  # it adds .nb
        "--optimize_out_type=naive_buffer",
        f"--valid_targets={target}",
        f"--enable_fp16={str(half).lower()}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BundleError(f"{converter}: cannot be run to its end: {error}") from error
    if done.returncode or not output.is_file():
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        last = said[-1] if said else "nothing"
        raise BundleError(f"{converter}: no model came of it (exit code {done.returncode}); it said: {last[-_TOLD:]}")
