"""The grammar of sources."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.capture.url import DeviceUrl, FilesUrl, StreamUrl, TestUrl, parse_source, show_source
from worker.errors import SourceError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("0", DeviceUrl(0)),
        ("/dev/video2", DeviceUrl("/dev/video2")),
        ("0?width=1920&height=1080", DeviceUrl(0, 1920, 1080)),
        ("/dev/v4l/by-id/x?fps=30&fourcc=MJPG", DeviceUrl("/dev/v4l/by-id/x", fps=30, fourcc="MJPG")),
        ("photos", FilesUrl("photos")),
        ("./0", FilesUrl("./0")),
        ("a/**/*.png", FilesUrl("a/**/*.png")),
        ("test://", TestUrl()),
        ("test://?seed=1&size=64&count=100", TestUrl(seed=1, size=64, count=100)),
        ("TEST://left?seed=3", TestUrl(seed=3)),
        ("RTSP://Cam/Main", StreamUrl("rtsp://Cam/Main", "rtsp://cam")),
        ("rtsp://cam/main", StreamUrl("rtsp://cam/main", "rtsp://cam")),
        ("https://[::1]:8554/x", StreamUrl("https://[::1]:8554/x", "https://[::1]:8554")),
    ],
)
def test_every_form_is_understood(text: str, url: object) -> None:
    assert parse_source(text) == url


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "empty"),
        ("ftp://host/x", "rtsp, rtsps, http, https, test"),
        ("rtsp://", "with a host"),
        ("rtsp://host:port/x", "with a host"),
        ("0?wide=1", "allowed are width, height, fps, fourcc"),
        ("0?width=big", "from 16 to"),
        ("/dev/video0?fourcc=MJPEG", "four letters"),
        ("test://?sed=1", "allowed are seed, size, count"),
        ("test://?size=big", "from 64 to 4096"),
        ("test://?size=10", "from 64 to 4096"),
        ("test://?seed=-1", "from 0"),
    ],
)
def test_what_is_not_understood_says_what_is(text: str, hint: str) -> None:
    with pytest.raises(SourceError, match=hint):
        parse_source(text)


def test_a_name_stands_for_a_seed_of_its_own() -> None:
    assert parse_source("test://left") != parse_source("test://right")
    assert parse_source("test://left") == parse_source("test://left")


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(SourceError):
        assert show_source(parse_source(text))


@given(
    scheme=st.sampled_from(["rtsp", "rtsps", "http", "https", "RTSP", "ftp"]),
    password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    where=st.sampled_from(["{s}://u:{p}@cam:554/main", "{s}://cam/user=u_password={p}", "{s}://cam/?pwd={p}"]),
)
def test_no_password_is_shown(scheme: str, password: str, where: str) -> None:
    secret = f"s3cret{password}s3cret"
    try:
        shown = show_source(parse_source(where.format(s=scheme, p=secret)))
    except SourceError as error:
        shown = str(error)
    assert "s3cret" not in shown


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(64, 4096), count=st.integers(0, 10**9))
def test_a_test_source_reads_as_it_is_shown(seed: int, size: int, count: int) -> None:
    url = TestUrl(seed, size, count)
    assert parse_source(show_source(url)) == url
