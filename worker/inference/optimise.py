"""Adds to a model folder what makes it run fast elsewhere: golden frames, the ONNX graph, and that graph in int8."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worker.devices import Device
from worker.errors import BundleError
from worker.inference.bundle import (
    GOLDEN,
    ONNX,
    ONNX_INT8,
    Bundle,
    Manifest,
    adopted,
    load_bundle,
    read_manifest,
    write_manifest,
)
from worker.inference.conversion import can_convert, can_quantise, convert, quantise
from worker.inference.engines import REFERENCE, open_engine
from worker.inference.history import OPTIMISED
from worker.inference.preprocess import resized
from worker.inference.selection.golden import spread, write_golden
from worker.inference.selection.measure import score
from worker.types import Image

_RANGES_FROM = 64  # photographs that the int8 ranges are taken from at most


def optimise(
    folder: Path, learned: Sequence[Image] = (), held_out: Sequence[Image] = (), *, graphs: bool = True
) -> list[str]:
    """Write what can be made here into a model folder, and vouch for it in `bundle.json`.

    A bare export gets a `bundle.json`. What cannot be made stays as it was.

    Args:
        learned: good photographs, H×W×3 RGB uint8, of any sizes, whose ranges the int8 graph is made for.
        held_out: others. Half of them become golden frames, the other half correct the int8 graph's scores, so that it
            is not judged by what it was made from.
        graphs: False for golden frames alone.

    Returns:
        The names of the files that were written.

    Raises:
        BundleError: the folder is no model, or the converter cannot take its graph.
    """
    bundle = load_bundle(folder)
    manifest = read_manifest(folder) or Manifest(name=folder.resolve().name)
    digests = bundle.digests()  # as it was before
    try:
        with tempfile.TemporaryDirectory(prefix="line-worker-optimise-") as scratch:
            written = _make(bundle, Path(scratch), learned, held_out, graphs)
            for name in written:  # all of them once all are made: a worker may load the folder at any time
                shutil.copyfile(Path(scratch) / name, folder / f"{name}.part")
            for name in written:
                (folder / f"{name}.part").replace(folder / name)
        known = [*manifest.sha256, *written]
        if written:
            manifest = adopted(manifest, manifest.sha256 or digests)
            write_manifest(folder, manifest, known, action=OPTIMISED, note=", ".join(written))
        else:
            write_manifest(folder, manifest, known)
    except OSError as error:
        for name in (GOLDEN, ONNX, ONNX_INT8):
            (folder / f"{name}.part").unlink(missing_ok=True)
        raise BundleError(f"model folder {folder}: cannot be written to: {error.strerror}") from error
    return written


def _make(
    bundle: Bundle, scratch: Path, learned: Sequence[Image], held_out: Sequence[Image], graphs: bool
) -> list[str]:
    """Make what can be made in a folder of its own; the names of the files."""
    learned = [resized(image, bundle.transforms) for image in learned]
    held_out = [resized(image, bundle.transforms) for image in held_out]
    written = []
    if held_out:
        engine = open_engine(REFERENCE, bundle, Device("cpu"))
        write_golden(scratch / GOLDEN, spread(held_out[::2]), lambda frames: score(engine, frames))
        written.append(GOLDEN)
    if graphs and can_convert():
        convert(bundle.folder, scratch / ONNX)
        written.append(ONNX)
    if graphs and learned and can_quantise():
        others = held_out[1::2] or held_out or learned
        np.savez(scratch / "ranges.npz", learned=spread(learned, _RANGES_FROM), others=spread(others))
        quantise(scratch / ONNX, scratch / "ranges.npz", scratch / ONNX_INT8)
        written.append(ONNX_INT8)
    return written
