"""`line-worker demo`: the whole system on one machine, from the real commands, with parts whose truth is known."""

from __future__ import annotations

import filecmp
from contextlib import suppress
from pathlib import Path

MODEL = Path(__file__).with_name("model")
"""The bundle that ships with the project; `make_model.py` makes it."""

NAME = "demo"
_PARAMETERS = "inference.pdiparams"


def model_folder(model: Path) -> Path:
    """The folder of a model that is named by its folder, or `demo`; a folder of that name wins over the demo's."""
    return MODEL if model == Path(NAME) and not model.is_dir() else model


def is_demo_model(folder: Path) -> bool:
    """Whether what is in the folder is the demo's model, wherever it was copied to and however it is calibrated."""
    with suppress(OSError):  # whoever loads the model says what is wrong with it
        return filecmp.cmp(folder / _PARAMETERS, MODEL / _PARAMETERS, shallow=False)
    return False
