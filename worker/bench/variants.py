"""Engines and precisions that can be asked for, and the environment in which a model is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worker.devices import Device, child_environment
from worker.errors import SettingsError
from worker.runtime.openmp import with_openmp
from worker.settings import inherited_environment


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine with a precision, as the settings have them."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine}:{self.precision}"

    @property
    def flags(self) -> dict[str, str]:
        """The settings that ask for it, by their names."""
        return {"engine": self.engine, "precision": self.precision}


AUTO = Variant("auto", "auto")
ALL = Variant("all", "all")


def parse_variants(text: str) -> list[Variant]:
    """`auto`, `all`, and `ENGINE:PRECISION` parted by commas; whether there is such an engine the settings say.

    Raises:
        SettingsError: it is none of these.
    """
    short = {variant.engine: variant for variant in (AUTO, ALL)}
    variants = []
    for one in text.replace(" ", "").split(","):
        engine, _, precision = one.partition(":")
        if one not in short and not (engine and precision):
            raise SettingsError(f"--variants: {one!r} is none of auto, all and ENGINE:PRECISION, as in openvino:fp32")
        variants.append(short.get(one) or Variant(engine, precision))
    return variants


def environment_for(device: Device, folder: Path) -> dict[str, str]:
    """The environment of a process that loads a framework: a worker's own."""
    return with_openmp(child_environment(device, inherited_environment()), folder)
