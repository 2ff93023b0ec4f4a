"""Images are found and read; what cannot be read is named."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.errors import SourceError
from worker.inference.preprocess import preprocess
from worker.settings import load
from worker.training.data import Samples, digest_of, find_images, pixels_digest, read_image, read_images
from worker.training.make import transforms_of

TRANSFORMS = transforms_of((256, 256))
LIMITS = load()[0].limits


def write(path: Path, shade: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((40, 60, 3), shade, np.uint8))
    return path


def test_images_are_found_below_the_folder_in_order(tmp_path: Path) -> None:
    wanted = [write(tmp_path / "a" / "2.png", 1), write(tmp_path / "b.JPG", 2)]
    (tmp_path / "notes.txt").write_text("no image")

    assert find_images(tmp_path) == wanted


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no image"):
        find_images(tmp_path)


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.png", 9)
    path.write_bytes(path.read_bytes()[:60])

    with pytest.raises(SourceError, match=r"cut\.png"):
        list(read_images([path], LIMITS))


def test_an_image_is_read_as_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((20, 20, 3), (0, 0, 200), np.uint8))

    assert read_image(path, LIMITS)[0, 0].tolist() == [200, 0, 0]


def test_the_digest_follows_content_not_names(tmp_path: Path) -> None:
    first = [write(tmp_path / "a.png", 1), write(tmp_path / "b.png", 2)]
    renamed = [write(tmp_path / "z" / "2.bmp", 2), write(tmp_path / "z" / "1.bmp", 1)]

    one, other = ([pixels_digest(read_image(path, LIMITS)) for path in paths] for paths in (first, renamed))

    assert digest_of(one) == digest_of(other)
    assert digest_of(one) != digest_of(one[:1])


def test_samples_are_prepared_exactly_as_in_serving() -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8)

    batch = Samples([image, image[:, ::-1]], TRANSFORMS).batch([0])

    assert np.array_equal(batch[0], preprocess(image, TRANSFORMS))
