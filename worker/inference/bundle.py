"""A model is a folder: PaddleX's inference export, and beside it our manifest `bundle.json`.

inference.json or inference.pdmodel   the graph
inference.pdiparams                   its parameters
inference.yml                         Deploy.transforms: how an image becomes the graph's input
bundle.json                           ours: name, version, threshold, sha256 of every file (optional)
inference.onnx, inference.int8.onnx   the graph for other engines, from the frames' bytes to the map (optional)
golden.npz                            frames and what paddle's fp32 says of them: what engines are held to (optional)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.errors import BundleError
from worker.inference.health import ImageStatistics
from worker.inference.preprocess import Transforms, parse_transforms

MANIFEST = "bundle.json"
PADDLEX_THRESHOLD = 0.01  # what PaddleX has in its code, for an export that nobody calibrated
_GRAPHS = ("inference.json", "inference.pdmodel")
_PARAMETERS = "inference.pdiparams"
_CONFIG = "inference.yml"
ONNX, ONNX_INT8 = "inference.onnx", "inference.int8.onnx"
GOLDEN = "golden.npz"


class Manifest(BaseModel):
    """What `bundle.json` holds. `sha256` maps each file's name in the folder to its digest."""

    model_config = ConfigDict(extra="ignore")

    name: str = "stfpm"
    version: str = "1"
    created: str = ""
    data_digest: str = ""
    threshold: float = Field(PADDLEX_THRESHOLD, ge=0, allow_inf_nan=False)
    false_reject_target: float | None = None
    score_statistics: dict[str, float] = {}
    image_statistics: ImageStatistics | None = None
    sha256: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model folder that was found whole. `identity` names it in results: `name@version` or the folder's name.

    `image_statistics` is None for an export of PaddleX's, and for a bundle from before they were measured.
    """

    folder: Path
    graph: Path
    parameters: Path
    transforms: Transforms
    threshold: float
    identity: str
    image_statistics: ImageStatistics | None = None
    onnx: Path | None = None
    onnx_int8: Path | None = None
    golden: Path | None = None

    def onnx_for(self, precision: str) -> Path | None:
        """The ONNX graph for this precision: a quantised one for int8, else the plain one."""
        return self.onnx_int8 if precision == "int8" else self.onnx

    def graph_for(self, precision: str) -> Path:
        """The same, where there must be one.

        Raises:
            BundleError: there is none.
        """
        graph = self.onnx_for(precision)
        if graph is None:
            how = "--images with good photographs makes one" if precision == "int8" else "makes one"
            raise BundleError(
                f"model folder {self.folder} has no ONNX graph for {precision}: `line-worker optimize` {how}"
            )
        return graph

    def digest(self) -> str:
        """The sha256 of all that a score depends on, apart from the engine."""
        files = (self.graph, self.parameters, self.folder / _CONFIG, self.onnx, self.onnx_int8, self.golden)
        together = hashlib.sha256()
        for file in files:
            together.update((sha256(file) if file else "-").encode())
        return together.hexdigest()


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle, or a bare PaddleX export as it is.

    Raises:
        BundleError: a file is missing, was altered since the manifest was written, or cannot be used.
    """
    if not folder.is_dir():
        raise BundleError(f"model folder {folder}: there is no such folder; name one with --model or LINE_MODEL")
    graph = next((folder / name for name in _GRAPHS if (folder / name).is_file()), None)
    if graph is None:
        raise BundleError(f"model folder {folder}: neither {_GRAPHS[0]} nor {_GRAPHS[1]} is in it")
    for name in (_PARAMETERS, _CONFIG):
        if not (folder / name).is_file():
            raise BundleError(f"model folder {folder}: {name} is missing; copy the whole exported folder")
    manifest = read_manifest(folder)
    if manifest is not None:
        _verify(folder, manifest)
    transforms = parse_transforms(_read_config(folder / _CONFIG), str(folder / _CONFIG))
    return Bundle(
        folder=folder,
        graph=graph,
        parameters=folder / _PARAMETERS,
        transforms=transforms,
        threshold=manifest.threshold if manifest else PADDLEX_THRESHOLD,
        identity=f"{manifest.name}@{manifest.version}" if manifest else folder.resolve().name,
        image_statistics=manifest.image_statistics if manifest else None,
        onnx=_vouched(folder, manifest, ONNX),
        onnx_int8=_vouched(folder, manifest, ONNX_INT8),
        golden=_vouched(folder, manifest, GOLDEN),
    )


def _vouched(folder: Path, manifest: Manifest | None, name: str) -> Path | None:
    """A file that `bundle.json` lists; one that merely lies there speaks for nothing."""
    return folder / name if manifest and name in manifest.sha256 else None


def write_manifest(folder: Path, manifest: Manifest, beside: Iterable[str] | None = None) -> None:
    """Write `bundle.json` with the sha256 of the other files; replaces it in one step.

    Args:
        beside: what is vouched for beside the export itself; None: all that lies in the folder.
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST]
    if beside is not None:
        known = {*_GRAPHS, _PARAMETERS, _CONFIG, *beside}
        files = [path for path in files if path.name in known]
    digests = {path.name: sha256(path) for path in files}
    text = json.dumps(manifest.model_copy(update={"sha256": digests}).model_dump(), indent=2) + "\n"
    part = folder / f"{MANIFEST}.part"
    part.write_text(text)
    part.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest | None:
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "file"
        raise BundleError(f"{path}: {where}: {problem['msg']}") from error


def _verify(folder: Path, manifest: Manifest) -> None:
    for name, digest in manifest.sha256.items():
        path = folder / name
        if Path(name).name != name:
            raise BundleError(f"{folder / MANIFEST}: {name!r} is not a file name")
        if not path.is_file():
            raise BundleError(f"model folder {folder}: {name} is missing, though {MANIFEST} lists it")
        if sha256(path) != digest:
            raise BundleError(
                f"model folder {folder}: {name} was altered (its sha256 is not the one in {MANIFEST}); export it again"
            )


def _read_config(path: Path) -> list[dict[str, Any]]:
    try:
        config = yaml.safe_load(path.read_bytes())
        transforms = config["Deploy"]["transforms"]
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: no Deploy.transforms in it: {error!r}") from error
    if not isinstance(transforms, list) or not all(isinstance(step, dict) for step in transforms):
        raise BundleError(f"{path}: Deploy.transforms must be a list of steps")
    return transforms


def sha256(path: Path) -> str:
    """The digest of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
