"""Engines and precisions: what there is to choose from, and how a choice is handed on."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

from worker.bench.talk import Answer, Message, Talker, serve
from worker.devices import Device, child_environment, parse_devices
from worker.errors import SettingsError
from worker.inference import engines
from worker.inference.bundle import load_bundle
from worker.inference.predictor import Predictor
from worker.runtime.openmp import with_openmp
from worker.settings import Settings, from_json, inherited_environment, to_json

AUTO = "auto"
ALL = "all"
_ONLY = "fp32"  # the precision of an engine that has but one
_LISTED_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine with a precision; each may be `auto`."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine}:{self.precision}"


def parse_variants(text: str) -> list[Variant]:
    """`auto`, `all`, and `ENGINE:PRECISION` parted by commas; `all` stays as a variant of that name.

    Raises:
        SettingsError: it is none of these.
    """
    variants = []
    for one in text.replace(" ", "").split(","):
        engine, colon, precision = one.partition(":")
        if one not in (AUTO, ALL) and not (engine and colon and precision):
            raise SettingsError(f"--variants: {one!r} is none of auto, all and ENGINE:PRECISION, as in openvino:fp32")
        variants.append(Variant(engine, precision or one))
    return variants


def flags(variant: Variant) -> dict[str, str]:
    """The settings that ask for it, by their names.

    Raises:
        SettingsError: there is no choice of precisions here.
    """
    if "precision" in Settings.model_fields:
        return {"engine": variant.engine, "precision": variant.precision}
    if variant.precision not in (AUTO, _ONLY):
        raise SettingsError(f"--variants: {variant}: the only precision here is {_ONLY}")
    return {} if variant.engine == AUTO else {"engine": variant.engine}


def open_predictor(settings: Settings, device: Device) -> Predictor:
    """The model on the device, as a worker opens it."""
    if settings.model is None:
        raise SettingsError("model: name a model folder with --model or LINE_MODEL")
    known = signature(Predictor.open).parameters
    wanted = {name: value for name, value in settings if name in known and name not in ("device", "threshold")}
    return Predictor.open(settings.model, device, **wanted)


def variant_of(predictor: Predictor) -> Variant:
    """What was chosen."""
    return Variant(predictor.engine.name, getattr(predictor.engine, "precision", _ONLY))


def environment_for(device: Device, folder: Path) -> dict[str, str]:
    """The environment of a process that loads a framework: a worker's own."""
    return with_openmp(child_environment(device, inherited_environment()), folder)


def available(settings: Settings, device: Device, folder: Path, stop: threading.Event) -> list[Variant]:
    """What can run the model on this device, asked in a process of its own, since that may load frameworks."""
    command = [sys.executable, "-P", "-m", __name__]
    with Talker("variants", command, environment_for(device, folder), folder, stop) as talker:
        order = {"settings": to_json(settings), "device": str(device)}
        return [Variant(*one) for one in talker.ask(order, _LISTED_WITHIN_S)["variants"]]


def _list(order: Message) -> tuple[Message, Answer]:
    settings = from_json(order["settings"])
    assert settings.model is not None
    find = getattr(engines, "available", None)
    found = find(load_bundle(settings.model), parse_devices(order["device"])[0]) if find else [Variant("paddle", _ONLY)]
    return {"variants": [(one.engine, one.precision) for one in found]}, lambda _: {}


if __name__ == "__main__":
    serve(_list)
