"""The photographs of a training: read once, and each picture once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.errors import SourceError
from worker.inference.health import Survey
from worker.inference.preprocess import Transforms, resized
from worker.settings import LimitSettings
from worker.training.data import Samples, pixels_digest, read_image
from worker.training.dataset.looks import Grey, grey_of
from worker.training.names import is_text, printable
from worker.types import Image

Told = Callable[[], None]
"""Called after each image that was read."""

Digests = dict[str, str]
"""Paths of images, and the digest of each one's pixels."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """One picture: its digest is that of its pixels as they were taken, its image is at the model's size, and `grey` is
    what near-duplicates are told by."""

    path: Path
    digest: str
    image: Image
    grey: Grey


@dataclass(slots=True)
class Photographs:
    """Pictures that differ in some pixel, and what all of them were like. `repeated` are files with a picture that was
    there before: were it learned from and held out too, the threshold would promise what it cannot keep."""

    transforms: Transforms
    pictures: list[Photograph] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)
    survey: Survey = field(default_factory=Survey)

    @classmethod
    def read(cls, paths: Iterable[Path], transforms: Transforms, limits: LimitSettings, told: Told) -> Photographs:
        """Read all of them; wherever one starts from, they have the same paths.

        Raises:
            SourceError: one cannot be read, or the plan could not name it.
        """
        found, known = cls(transforms), set[str]()
        for path in (path.absolute() for path in paths):
            if not is_text(path):
                raise SourceError(f"{printable(str(path))}: the name is not UTF-8; rename the file or its folder")
            image = read_image(path, limits)
            told()
            digest = pixels_digest(image)
            if digest in known:
                found.repeated.append(path)
                continue
            known.add(digest)
            found.survey.add(image)
            found.pictures.append(Photograph(path, digest, resized(image, transforms), grey_of(image)))
        return found

    def samples(self, digests: Mapping[str, str]) -> Samples:
        """Those with these digests, in their order.

        Raises:
            SourceError: a picture is not among them: its file was altered.
        """
        by_digest = {picture.digest: picture.image for picture in self.pictures}
        for path, digest in digests.items():
            if digest not in by_digest:
                raise SourceError(f"{path}: is not the picture any more that the training began with")
        return Samples([by_digest[digest] for digest in digests.values()], self.transforms)
