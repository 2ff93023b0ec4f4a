"""PaddleX's official models by name: fetched at first use, kept in the cache as model folders."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from worker import download
from worker.errors import BundleError, SourceError

STFPM = "STFPM"
_FILES = {"inference.json", "inference.pdmodel", "inference.pdiparams", "inference.yml"}
_MOST_BYTES = 400_000_000  # of a file, unpacked

Progress = Callable[[int, int], None]


def model_folder(model: str | Path, cache: Path, progress: Progress | None = None) -> Path:
    """The folder of a model that is named by its folder or, as PaddleX names it, `STFPM`.

    A folder of that name wins over the official model.

    Args:
        cache: folder below which official models are kept.
        progress: called with the bytes that came and the bytes in all (0: not known), where something is fetched.

    Raises:
        SourceError: there is neither, or it cannot be fetched; it says what to put where.
    """
    if Path(model).is_dir():
        return Path(model)
    if str(model) != STFPM:
        raise SourceError(f"model {str(model)!r}: there is no such folder, and the only model by name is {STFPM}")
    archive = download.fetch(download.STFPM, cache / "models", progress)
    folder = cache / "models" / STFPM
    if not folder.is_dir() or folder.stat().st_mtime < archive.stat().st_mtime:
        _unpack(archive, folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """The model's files out of the archive, in one step."""
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as scratch:
            fresh = Path(scratch) / folder.name
            fresh.mkdir()
            with tarfile.open(archive) as tar:
                for member in tar:
                    _extract(tar, member, fresh)
            if folder.is_dir():
                shutil.rmtree(folder)
            fresh.replace(folder)
    except (tarfile.TarError, EOFError) as error:
        raise BundleError(
            f"{archive}: not an archive with a model: {error}; delete it, and it is fetched anew"
        ) from error
    except OSError as error:
        raise SourceError(f"{folder} cannot be written: {error.strerror}") from error


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """A model's file by its bare name; nothing else that an archive may hold, nor where it would put it."""
    name = Path(member.name).name
    if not member.isfile() or name not in _FILES:
        return
    if member.size > _MOST_BYTES:
        raise tarfile.TarError(f"{member.name} has {member.size} bytes")
    content = tar.extractfile(member)
    assert content is not None
    with (folder / name).open("wb") as file:
        shutil.copyfileobj(content, file)
