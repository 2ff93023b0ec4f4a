"""PaddleX's way to say how to train: its STFPM.yaml, and `-o Key.Sub=value`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from worker.errors import SettingsError
from worker.training.fitting.recipe import Recipe

_RECIPE = {
    "Train.epochs_iters": "epochs",
    "Train.batch_size": "batch_size",
    "Train.learning_rate": "learning_rate",
    "Train.warmup_steps": "warmup_steps",
    # Ours, by the same way of writing them.
    "Train.momentum": "momentum",
    "Train.weight_decay": "weight_decay",
    "Train.schedule": "schedule",
    "Train.size": "size",
    "Train.equalise": "equalise",
    "Train.layer_weights": "layer_weights",
    "Train.statistics": "statistics",
    "Train.patience": "patience",
    "Train.seed": "seed",
}
_OPTIONS = {
    "Global.dataset_dir": "data",
    "Global.output": "output",
    "Global.device": "device",
    "Train.pretrain_weight_path": "teacher",
}
# Of fields with several parts, what is wanted of all of them.
_WANTED = {
    "size": "wanted WIDTHxHEIGHT in pixels, multiples of 16 from 32 to 2048, as in 256x256",
    "layer_weights": "wanted three numbers from 0 to 4, one at least above 0, as in 0.25,0.5,1",
}
# PaddleX's own steps and logs, which have no counterpart in a training here.
_WITHOUT_EFFECT = ("Train.log_interval", "Train.eval_interval", "Train.num_classes", "Train.resume_path")
_OTHER_SECTIONS = ("CheckDataset", "Evaluate", "Predict", "Export")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was found: fields of the recipe, options of the command, and keys that say nothing here."""

    recipe: dict[str, Any] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def read_wishes(file: Path | None, overrides: Sequence[str]) -> Wishes:
    """The file's keys and, over them, those of `-o Key.Sub=value`, the last of each winning.

    Raises:
        SettingsError: the file or an override cannot be understood, or names a key that nothing is known of.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= _flat(file)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or "." not in key:
            raise SettingsError(f"-o {override}: wanted Key.Sub=value, as in Train.batch_size=8")
        values[key.strip()] = _value(value, override)
    wishes = Wishes()
    for key, value in values.items():
        _sort(wishes, key, value)
    return wishes


def make_recipe(wishes: dict[str, Any]) -> Recipe:
    """A recipe with these fields and the defaults for the rest.

    Raises:
        SettingsError: a value is not allowed; the message names it.
    """
    try:
        return Recipe(**wishes)
    except ValidationError as error:
        problem = error.errors()[0]
        where = str(problem["loc"][0])
        said = _WANTED.get(where) or problem["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{where.replace('_', '-')}: {said}, not {wishes.get(where)!r}") from error


def _sort(wishes: Wishes, key: str, value: Any) -> None:
    section = key.partition(".")[0]
    if key == "Global.model":
        if value != "STFPM":
            raise SettingsError(f"{key}: {value!r} is no model of this kind; STFPM is")
    elif key == "Global.mode":
        if value not in ("train", "check_dataset"):  # the file that PaddleX ships says check_dataset
            raise SettingsError(f"{key}: {value!r}: this command trains; see `dataset check`, `evaluate`, `export`")
    elif value is None or key in _WITHOUT_EFFECT or section in _OTHER_SECTIONS:
        wishes.ignored.append(key)
    elif key in _RECIPE:
        wishes.recipe[_RECIPE[key]] = value
    elif key in _OPTIONS:
        wishes.options[_OPTIONS[key]] = str(value)
    else:
        raise SettingsError(f"{key}: there is no such key; known are {', '.join([*_OPTIONS, *_RECIPE])}")


def _flat(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{file}: cannot be read: {error}") from error
    if not isinstance(document, dict) or not all(isinstance(part, dict) for part in document.values()):
        raise SettingsError(f"{file}: wanted sections Global and Train, as in PaddleX's STFPM.yaml")
    return {f"{section}.{key}": value for section, keys in document.items() for key, value in keys.items()}


def _value(text: str, override: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsError(f"-o {override}: the value cannot be understood") from error
