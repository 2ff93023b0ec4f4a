"""The file that is fetched once: from a real server that breaks off, lies, or is away."""

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from worker.download import IMAGENET, Download, fetch
from worker.errors import SourceError

CONTENT = os.urandom(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves CONTENT with ranges; the first `breaks` answers end in the middle."""

    breaks = 0
    ranges: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/weights.pdparams"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        rest = CONTENT[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.breaks > 0:
            self.server.breaks -= 1
            rest = rest[:1_200_000]
            self.close_connection = True
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.ranges = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def download(server: Server, digest: str = hashlib.sha256(CONTENT).hexdigest(), most: int = 10_000_000) -> Download:
    return Download(server.url, digest, "sha256", most)


def test_it_is_fetched_once(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    first = fetch(download(server), tmp_path / "cache", lambda done, total: seen.append((done, total)))
    second = fetch(download(server), tmp_path / "cache")

    assert first == second == tmp_path / "cache" / "weights.pdparams"
    assert first.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_transfer_that_breaks_off_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.breaks = 2

    assert fetch(download(server), tmp_path, wait_s=0.01).read_bytes() == CONTENT
    assert server.ranges[0] is None
    assert all(wanted and wanted != "bytes=0-" for wanted in server.ranges[1:])


def test_another_file_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not the file wanted"):
        fetch(download(server, "0" * 64), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_copy_in_the_cache_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.pdparams").write_bytes(b"damaged")

    assert fetch(download(server), tmp_path).read_bytes() == CONTENT


def test_without_a_digest_what_came_first_is_held_to(server: Server, tmp_path: Path) -> None:
    assert fetch(download(server, ""), tmp_path).read_bytes() == CONTENT
    assert fetch(download(server, ""), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None]
    note = (tmp_path / "weights.pdparams.sha256").read_text()
    assert note == f"{hashlib.sha256(CONTENT).hexdigest()}  weights.pdparams\n"

    (tmp_path / "weights.pdparams.sha256").write_text(f"{'0' * 64}  weights.pdparams\n")
    with pytest.raises(SourceError, match="not the file wanted"):
        fetch(download(server, ""), tmp_path)


def test_a_file_without_end_is_broken_off(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="more came"):
        fetch(download(server, most=1_000_000), tmp_path)


def test_without_a_network_it_says_what_to_put_where(tmp_path: Path) -> None:
    away = Download("http://127.0.0.1:9/resnet18.pdparams", "00", "md5", 1000, instead="or take another")

    with pytest.raises(SourceError, match="cannot be fetched") as caught:
        fetch(away, tmp_path / "cache", wait_s=0.01)
    assert str(tmp_path / "cache" / "resnet18.pdparams") in str(caught.value)
    assert str(caught.value).endswith(", or take another")


def test_a_cache_that_cannot_be_written_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")

    with pytest.raises(SourceError, match="cannot be written"):
        fetch(download(server), tmp_path / "cache")


def test_the_official_address_is_an_https_one_with_a_digest() -> None:
    assert IMAGENET.url.startswith("https://paddle-hapi.bj.bcebos.com/")
    assert len(IMAGENET.digest) == 32
