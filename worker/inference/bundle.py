"""A model is a folder: PaddleX's inference export, and beside it our manifest `bundle.json`.

inference.json or inference.pdmodel   the graph
inference.pdiparams                   its parameters
inference.yml                         Deploy.transforms: how an image becomes the graph's input
bundle.json                           ours: name, version, thresholds, history, sha256 of every file (optional)
inference.onnx, inference.int8.onnx   the graph for other engines, from the frames' bytes to the map (optional)
golden.npz                            frames and what paddle's fp32 says of them: what engines are held to (optional)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer

from worker.errors import BundleError
from worker.inference import history
from worker.inference.health import ImageStatistics
from worker.inference.history import CameraThresholds, Entry, files_digest
from worker.inference.preprocess import Transforms, parse_transforms
from worker.settings.sections import Name

MANIFEST = "bundle.json"
PADDLEX_THRESHOLD = 0.01  # what PaddleX has in its code, for an export that nobody calibrated
_GRAPHS = ("inference.json", "inference.pdmodel")
_PARAMETERS = "inference.pdiparams"
_CONFIG = "inference.yml"
ONNX, ONNX_INT8 = "inference.onnx", "inference.int8.onnx"
GOLDEN = "golden.npz"


LEARNED_DIGITS = 16


class Manifest(BaseModel):
    """What `bundle.json` holds. `sha256` maps each file's name in the folder to its digest.

    `camera_thresholds` are for the cameras that have one of their own, `camera_statistics` what those were set by.
    The last entry of `history`, where there is one, says what the model is now.
    `learned_pictures` are the first 16 hex digits of the digests of the pictures that it learned from: no threshold may
    be set by these.
    """

    model_config = ConfigDict(extra="ignore")

    name: str = "stfpm"
    version: str = "1"
    created: str = ""
    data_digest: str = ""
    threshold: float = Field(PADDLEX_THRESHOLD, ge=0, allow_inf_nan=False)
    false_reject_target: float | None = None
    score_statistics: dict[str, float] = {}
    camera_thresholds: CameraThresholds = {}
    camera_statistics: dict[Name, dict[str, float]] = {}
    image_statistics: ImageStatistics | None = None
    sha256: dict[str, str] = {}
    history: list[Entry] = []
    learned_pictures: frozenset[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]] = frozenset()

    @field_serializer("learned_pictures")
    def _in_order(self, pictures: frozenset[str]) -> list[str]:
        return sorted(pictures)


def is_learned(picture: str, learned: Set[str]) -> bool:
    """Whether a picture, by the digest of its pixels, is one of a manifest's `learned_pictures`."""
    return picture[:LEARNED_DIGITS] in learned


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model folder that was found whole. `identity` names it in results: `name@version` or the folder's name.

    `threshold` is for every camera that has none of its own in `camera_thresholds`.
    `image_statistics` is None for an export of PaddleX's, and for a bundle from before they were measured.
    """

    folder: Path
    graph: Path
    parameters: Path
    transforms: Transforms
    threshold: float
    identity: str
    camera_thresholds: Mapping[str, float] = field(default_factory=dict)
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
        together = hashlib.sha256()
        for file in self._files():
            together.update((sha256(file) if file else "-").encode())
        return together.hexdigest()

    def digests(self) -> dict[str, str]:
        """The sha256 of each of these files by its name, as a manifest keeps them."""
        return {file.name: sha256(file) for file in self._files() if file}

    def _files(self) -> tuple[Path | None, ...]:
        return self.graph, self.parameters, self.folder / _CONFIG, self.onnx, self.onnx_int8, self.golden


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle, or a bare PaddleX export as it is.

    Raises:
        BundleError: a file is missing, was altered since the manifest was written, or cannot be read or used.
    """
    try:
        return _load(folder)
    except OSError as error:
        raise BundleError(f"model folder {folder}: cannot be read: {error.strerror}: {error.filename}") from error


def _load(folder: Path) -> Bundle:
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
        camera_thresholds=manifest.camera_thresholds if manifest else {},
        image_statistics=manifest.image_statistics if manifest else None,
        onnx=_vouched(folder, manifest, ONNX),
        onnx_int8=_vouched(folder, manifest, ONNX_INT8),
        golden=_vouched(folder, manifest, GOLDEN),
    )


def _vouched(folder: Path, manifest: Manifest | None, name: str) -> Path | None:
    """A file that `bundle.json` lists; one that merely lies there speaks for nothing."""
    return folder / name if manifest and name in manifest.sha256 else None


def write_manifest(
    folder: Path,
    manifest: Manifest,
    beside: Iterable[str] | None = None,
    *,
    action: str = "",
    note: str = "",
    data_digest: str | None = None,
) -> None:
    """Write `bundle.json` with the sha256 of the other files; replaces it in one step.

    Args:
        beside: what is vouched for beside the export itself; None: all that lies in the folder.
        action, note, data_digest: see `sealed`.
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST]
    if beside is not None:
        known = {*_GRAPHS, _PARAMETERS, _CONFIG, *beside}
        files = [path for path in files if path.name in known]
    digests = {path.name: sha256(path) for path in files}
    whole = sealed(manifest, digests, action=action, note=note, data_digest=data_digest)
    part = folder / f"{MANIFEST}.part"
    part.write_text(manifest_text(whole))
    part.replace(folder / MANIFEST)


def manifest_text(manifest: Manifest) -> str:
    """The content of `bundle.json`."""
    return json.dumps(manifest.model_dump(), indent=2) + "\n"


def sealed(
    manifest: Manifest, digests: Mapping[str, str], *, action: str = "", note: str = "", data_digest: str | None = None
) -> Manifest:
    """The manifest with its files' sha256, and with an entry at the end of its history for what was done.

    Args:
        digests: file name → sha256.
        action: a word of `history`, as in `history.TRAINED`; empty: nothing happened that the history should tell.
        note: for people.
        data_digest: of the data that it was done with; None: the manifest's own, which is that of the training.

    Raises:
        ValueError: there is no action, and yet the last entry speaks of another version, threshold or files.
    """
    whole = manifest.model_copy(update={"sha256": dict(digests)})
    if action:
        entries = history.appended(
            manifest.history,
            action=action,
            version=manifest.version,
            digest=files_digest(digests),
            threshold=manifest.threshold,
            camera_thresholds=manifest.camera_thresholds,
            data_digest=manifest.data_digest if data_digest is None else data_digest,
            note=note,
        )
        whole = whole.model_copy(update={"history": entries})
    if problem := _history_problem(whole):
        raise ValueError(problem)
    return whole


def adopted(manifest: Manifest, digests: Mapping[str, str] | None = None) -> Manifest:
    """The manifest as it is where it has a history; else with one that begins with what the model is now.

    Args:
        digests: file name → sha256, for an export that has no manifest yet.
    """
    if manifest.history:
        return manifest
    note = f"made {manifest.created}" if manifest.created else ""
    return sealed(manifest, manifest.sha256 if digests is None else digests, action=history.ADOPTED, note=note)


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


def _history_problem(manifest: Manifest) -> str:
    if not manifest.history:
        return ""
    last = manifest.history[-1]
    pairs = {
        "version": (last.version, manifest.version),
        "threshold": (last.threshold, manifest.threshold),
        "camera_thresholds": (last.camera_thresholds, manifest.camera_thresholds),
        "sha256": (last.digest, files_digest(manifest.sha256)),
    }
    changed = [name for name, (then, now) in pairs.items() if then != now]
    if changed:
        return f"{' and '.join(changed)}: not what the last entry of the history says (version {last.version})"
    return history.problem(manifest.history)


def _verify(folder: Path, manifest: Manifest) -> None:
    if problem := _history_problem(manifest):
        raise BundleError(
            f"{folder / MANIFEST}: {problem}; take the file as it was written, and set another threshold with "
            "--threshold or `line-worker calibrate`"
        )
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
