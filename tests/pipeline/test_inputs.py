"""What `predict` takes: each kind alone and mixed, and what is wrong with one picture among others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import models
import numpy as np
import pytest
from PIL import Image as PillowImage

from worker.errors import ImageError, SourceError
from worker.pipeline import inputs
from worker.pipeline.inputs import Source, sources
from worker.settings import LimitSettings

LIMITS = LimitSettings()
PICTURE = models.images(1)[0]


def names(given: object) -> list[str | None]:
    return [source.input_path for source in sources(given, LIMITS)]


def only(given: object, limits: LimitSettings = LIMITS) -> Source:
    [source] = sources(given, limits)
    return source


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for name in ("c.png", "b/a.PNG", "a.jpg"):
        (folder / name).write_bytes(models.jpeg(PICTURE, Path(name).suffix.lower()))
    (folder / "notes.txt").write_text("no picture")
    (folder / "._c.png").write_bytes(b"what macOS keeps beside it")
    return folder


def test_a_folder_is_its_pictures_by_their_paths_to_its_leaves(photos: Path) -> None:
    assert names(str(photos)) == [f"{photos}/a.jpg", f"{photos}/b/a.PNG", f"{photos}/c.png"]
    assert names(photos) == names(str(photos))


def test_lists_of_everything_keep_their_order(photos: Path) -> None:
    given = [PICTURE, str(photos / "c.png"), [{"img": str(photos / "a.jpg")}, PICTURE], (str(photos / "b"),)]

    assert names(given) == [None, f"{photos}/c.png", f"{photos}/a.jpg", None, f"{photos}/b/a.PNG"]


def test_a_generator_is_not_read_ahead() -> None:
    asked = []

    def endless() -> Iterator[object]:
        while True:
            asked.append(1)
            yield PICTURE

    found = sources(endless(), LIMITS)
    next(found)
    assert len(asked) == 1


def test_an_array_is_blue_green_red_as_opencv_has_it() -> None:
    blue = np.zeros((9, 9, 3), np.uint8)
    blue[..., 0] = 200

    assert only(blue).read()[0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 1), (9, 12, 4)])
def test_grey_arrays_and_those_with_alpha_are_taken(shape: tuple[int, ...]) -> None:
    assert only(np.full(shape, 77, np.uint8)).read().shape == (9, 12, 3)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((9, 9, 3), np.float32), "float32; wanted is uint8"),
        (np.zeros((9, 9, 2), np.uint8), "wanted is H×W"),
        (np.zeros((0, 9, 3), np.uint8), "not empty"),
        (np.zeros(9, np.uint8), "wanted is H×W"),
        (np.zeros((2, 9, 9, 3), np.uint8), "wanted is H×W"),
    ],
)
def test_an_array_that_is_no_picture_says_so(array: np.ndarray, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        only(array).read()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.jpg", "nowhere.jpg: No such file"),
        ("report.pdf", "report.pdf: a PDF is no picture"),
        ("http://127.0.0.1:9/report.PDF?x=1", "a PDF is no picture"),
        ("http://127.0.0.1:9/part.jpg", "part.jpg: cannot be fetched"),
        ("http://[::1/part.jpg", "cannot be fetched"),
        ("a\0b.jpg", "null byte"),
        (5, "5: a int, but wanted is a numpy array"),
        (None, "None: a NoneType"),
        (b"\xff\xd8\xff", "give a file's path"),
        ({"image": "a.jpg"}, "under the one key `img`"),
        ({}, "under the one key `img`"),
    ],
)
def test_what_is_no_picture_says_which_and_why(given: object, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        only(given).read()


def test_a_folder_without_pictures_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no picture is in this folder; wanted \.bmp"):
        only(tmp_path).read()


def test_a_pdf_in_a_folder_is_not_passed_over(photos: Path) -> None:
    (photos / "drawing.pdf").write_bytes(b"%PDF-1.4")

    assert [source.problem[:5] for source in sources(photos, LIMITS)] == ["", "", "", "a PDF"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "not_an_image"), (b"hello", "not_an_image"), (models.jpeg(PICTURE)[:-30], "truncated")],
)
def test_a_file_that_is_no_picture_says_which(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(content)

    with pytest.raises(ImageError, match=r"x\.jpg: ") as caught:
        only(tmp_path / "x.jpg").read()
    assert caught.value.reason == reason


def test_limits_hold_before_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(models.jpeg(PICTURE))

    with pytest.raises(ImageError, match="more than 100 bytes"):
        only(tmp_path / "x.jpg", LimitSettings(max_bytes=100)).read()


def test_a_name_lies_but_the_bytes_tell(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(models.jpeg(PICTURE, ".png"))

    assert np.array_equal(only(tmp_path / "x.jpg").read(), PICTURE)


def test_formats_that_only_paddlex_takes(tmp_path: Path) -> None:
    PillowImage.fromarray(PICTURE).save(tmp_path / "x.ppm")

    assert np.array_equal(only(tmp_path / "x.ppm").read(), PICTURE)
    with pytest.raises(ImageError, match="max_pixels is 10"):
        only(tmp_path / "x.ppm", LimitSettings(max_pixels=10)).read()


def test_an_array_is_what_it_was_when_it_was_given() -> None:
    """A camera loop fills the same memory again and again, while the pictures before are still to be read."""
    memory = np.zeros((9, 9, 3), np.uint8)
    source = only(memory)
    memory[...] = 200

    assert not source.read().any()


def test_a_picture_in_tiff_that_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    PillowImage.new("L", (20_000, 9_000)).save(tmp_path / "x.tif", compression="tiff_lzw")

    with pytest.raises(ImageError, match=r"20000×9000|decompression bomb"):
        only(tmp_path / "x.tif").read()
    PillowImage.new("L", (5, 5)).save(tmp_path / "small.tif")
    with pytest.raises(ImageError, match="min_side is 8"):
        only(tmp_path / "small.tif").read()


def test_several_pictures_in_one_file_are_not_judged_by_the_first(tmp_path: Path) -> None:
    first, second = (PillowImage.fromarray(image) for image in models.images(2))
    first.save(tmp_path / "x.gif", save_all=True, append_images=[second])
    first.save(tmp_path / "pages.tiff", save_all=True, append_images=[second])
    (tmp_path / "x.jpg").write_bytes((tmp_path / "x.gif").read_bytes())
    (tmp_path / "y.jpg").write_bytes((tmp_path / "pages.tiff").read_bytes())

    for name in ("x.jpg", "y.jpg"):
        with pytest.raises(ImageError, match="2 pictures in one file"):
            only(tmp_path / name).read()


def test_a_file_is_not_kept_in_memory_and_only_a_regular_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(models.jpeg(PICTURE, ".png"))
    source = only(tmp_path / "x.png")
    source.read()
    assert not any(isinstance(value, bytes) for value in vars(source).values())

    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="no regular file"):
        only(tmp_path / "pipe.png").read()
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(ImageError, match="no regular file"):
        only(tmp_path / "zero.png").read()


def test_each_page_of_a_tiff_is_a_picture(tmp_path: Path) -> None:
    first, second = (PillowImage.fromarray(image) for image in models.images(2))
    first.save(tmp_path / "x.tiff", save_all=True, append_images=[second])

    pages = list(sources(tmp_path / "x.tiff", LIMITS))

    assert [page.page for page in pages] == [0, 1]
    assert np.array_equal(pages[1].read(), np.asarray(second))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if "gone" in self.path:
            self.send_error(404)
            return
        body = models.jpeg(PICTURE, ".png")
        if "slow" in self.path:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                for at in range(len(body)):
                    self.wfile.write(body[at : at + 1])
                    time.sleep(0.05)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_url_is_fetched(url: str) -> None:
    assert np.array_equal(only(f"{url}/part.png?size=1").read(), PICTURE)


def test_a_url_that_is_gone_or_too_large_says_so(url: str) -> None:
    with pytest.raises(SourceError, match=r"gone\.png: cannot be fetched: .*404"):
        only(f"{url}/gone.png").read()
    with pytest.raises(ImageError, match="more than 100 bytes"):
        only(f"{url}/part.png", LimitSettings(max_bytes=100)).read()


def test_a_url_that_trickles_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_FETCHED_WITHIN_S", 0.5)
    with pytest.raises(SourceError, match=r"not all of it came within 0\.5 s"):
        only(f"{url}/slow.png").read()
