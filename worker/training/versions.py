"""New versions of a model: a folder of its own each, beside the one that it comes from, which stays as it is."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker.errors import SettingsError
from worker.inference.bundle import (
    MANIFEST,
    Manifest,
    adopted,
    load_bundle,
    manifest_text,
    read_manifest,
    sealed,
)

_NUMBERED = re.compile(r"(?P<head>(?:.*[.v])?)(?P<number>\d{1,4})")
_FOLDER_NUMBER = re.compile(r"-v\d{1,4}$")


def write_version(
    source: Path,
    changes: dict[str, Any],
    *,
    action: str,
    note: str = "",
    data_digest: str = "",
    output: Path | None = None,
) -> Path:
    """Write a model folder with all files of `source` and a manifest that differs in `changes`; nothing is replaced.

    The files are copied, not linked: whatever becomes of the one folder, the other stays whole. The graph comes last,
    and the folder gets its name when all is in it, so that no half of it can ever be loaded.

    Args:
        changes: fields of `Manifest`, other than version, created and history.
        action, note, data_digest: for the history.
        output: where to; None: beside `source`, `<name>-v<N>` with the next number that is free.

    Returns:
        The folder.

    Raises:
        BundleError: `source` is no model folder.
        SettingsError: there is something at `output` already, or nothing can be written there.
    """
    bundle = load_bundle(source)
    manifest = read_manifest(source)
    digests = bundle.digests() | (manifest.sha256 if manifest else {})
    old = adopted(manifest or Manifest(name=source.resolve().name), digests)
    folder, number = _claim(source, old.version, output)
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        fields = old.model_dump() | {"version": _numbered(old.version, number), "created": now} | changes
        new = sealed(Manifest.model_validate(fields), digests, action=action, note=note, data_digest=data_digest)
        _fill(folder, source, new, bundle.graph.name)
    except BaseException as error:
        with suppress(OSError):
            folder.rmdir()
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from error
        raise
    return folder


def _fill(folder: Path, source: Path, manifest: Manifest, graph: str) -> None:
    """Put all in a folder beside this empty one, which it replaces in one step once it is whole."""
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name in manifest.sha256:
            if name != graph:
                shutil.copyfile(source / name, part / name)
        (part / MANIFEST).write_text(manifest_text(manifest))
        shutil.copyfile(source / graph, part / graph)
        load_bundle(part)  # or somebody altered a file meanwhile
        part.chmod(folder.stat().st_mode)  # it was made for us alone, as temporary folders are
        part.replace(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def check_output(source: Path, output: Path | None) -> None:
    """See now, and not behind minutes of scoring, whether a version can be written.

    Raises:
        SettingsError: as `write_version`.
    """
    if output is not None and os.path.lexists(output):
        raise _taken(output)
    place = (output or source.resolve()).absolute()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent).cleanup()
    except OSError as error:
        raise _unwritable(output or place.parent, error) from error


def _claim(source: Path, version: str, output: Path | None) -> tuple[Path, int]:
    """Make the folder, empty, which no other process can do a second time; with the number of the new version."""
    number = _number(version) + 1
    try:
        if output is not None:
            if os.path.lexists(output):
                raise _taken(output)
            output.parent.mkdir(parents=True, exist_ok=True)
            output.mkdir()
            return output, number
        place = source.resolve()
        while True:
            folder = place.with_name(f"{_FOLDER_NUMBER.sub('', place.name)}-v{number}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder, number
            number += 1
    except OSError as error:
        raise _unwritable(output or source.resolve().parent, error) from error


def _number(version: str) -> int:
    """What a version counts: 3 in `3`, `v3`, `1.3` and `20260102T030405.3`; 1 in one that does not count."""
    counted = _NUMBERED.fullmatch(version)
    return int(counted["number"]) if counted else 1


def _numbered(version: str, number: int) -> str:
    """The same version with another number, which is put behind one that does not count: `20260102T030405.2`."""
    counted = _NUMBERED.fullmatch(version)
    return f"{counted['head']}{number}" if counted else f"{version}.{number}"


def _taken(output: Path) -> SettingsError:
    return SettingsError(f"--output {output}: is there already, and nothing is overwritten; name a folder that is not")


def _unwritable(place: Path, error: OSError) -> SettingsError:
    return SettingsError(f"--output {place}: no model can be written there: {error.strerror or error}")
