"""Weights and models that are fetched once from their official address, checked, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from worker.errors import SourceError

_TIMEOUT_S = 30.0
_ATTEMPTS = 4
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Download:
    """A file on the net. `digest` is hex of the algorithm `hashing`; `max_bytes` ends a transfer that is not it.

    Of a file whose publisher names no digest it is empty: then what came first is held to from there on, by a note
    beside it. `instead` says for people what does without the file.
    """

    url: str
    digest: str
    hashing: str
    max_bytes: int
    instead: str = ""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rpartition("/")[2]


# Paddle publishes this address with an MD5 (paddle/vision/models/resnet.py); it names no SHA-256.
IMAGENET = Download(
    "https://paddle-hapi.bj.bcebos.com/models/resnet18.pdparams",
    "cf548f46534aa3560945be4b95cd11c4",
    "md5",
    100_000_000,
    instead="or train with --teacher builtin, which needs none",
)

# PaddleX's own address for its inference models (paddlex/inference/utils/official_models.py), which names no digest.
STFPM = Download(
    "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_inference_model/paddle3.0.0/STFPM_infer.tar",
    "",
    "sha256",
    200_000_000,
    instead="or name a model folder of your own: `line-worker train` makes one",
)


class _Interrupted(Exception):
    """The transfer broke off: what came is kept, and it goes on from there."""


def fetch(
    download: Download,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
    wait_s: float = 1.0,
) -> Path:
    """The file in the cache; fetched if it is not there, from where an earlier attempt broke off.

    Args:
        progress: called with the bytes that are there and the bytes in all (0: not known).
        wait_s: before the second attempt; twice as long before each further one.

    Raises:
        SourceError: it cannot be reached, or what came is not the file that its digest names.
    """
    file = cache / download.name
    part = cache / f"{download.name}.part"
    advice = f"fetch {download.url} on a machine with internet access and put it at {file}"
    advice += f", {download.instead}" if download.instead else ""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        wanted = download.digest or _noted(file)
        if wanted and file.is_file() and _digest(file, download.hashing) == wanted:
            return file
        for attempt in Retrying(
            retry=retry_if_exception_type(_Interrupted),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(wait_s),
            reraise=True,
        ):
            with attempt:
                _transfer(download, part, progress)
        digest = _digest(part, download.hashing)
        if digest != (wanted or digest):
            part.unlink()
            raise SourceError(f"{download.url}: what came is not the file wanted (its {download.hashing} differs)")
        if not wanted:
            _note(file).write_text(f"{digest}  {file.name}\n")
        part.replace(file)
    except _Interrupted as error:
        raise SourceError(f"{download.url} cannot be fetched: {error}; {advice}") from error
    except OSError as error:
        raise SourceError(f"{file} cannot be written: {error.strerror}; {advice}") from error
    return file


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _noted(file: Path) -> str:
    """The digest that was noted when the file came; that of a file that somebody put there, by its first use."""
    note = _note(file)
    if not note.is_file() and file.is_file():
        note.write_text(f"{_digest(file, 'sha256')}  {file.name}\n")
    return note.read_text().partition(" ")[0].strip() if note.is_file() else ""


def _transfer(download: Download, part: Path, progress: Callable[[int, int], None] | None) -> None:
    """Append to `part` what is still missing of it."""
    there = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={there}-"} if there else {}
    try:
        with httpx.stream("GET", download.url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True) as answer:
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()
                raise _Interrupted("the server has no more of it")
            answer.raise_for_status()
            resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
            there = there if resumed else 0
            total = there + int(answer.headers.get("Content-Length", 0))
            with part.open("ab" if resumed else "wb") as file:
                for piece in answer.iter_bytes(_PIECE):
                    there += len(piece)
                    if there > download.max_bytes:
                        raise SourceError(f"{download.url}: more came than the file wanted has")
                    file.write(piece)
                    if progress is not None:
                        progress(there, total)
    except httpx.HTTPError as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


def _digest(file: Path, hashing: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, hashing).hexdigest()
