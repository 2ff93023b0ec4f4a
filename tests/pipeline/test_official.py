"""The official model by its name: fetched from a real server, kept, and never more than a model's files."""

from __future__ import annotations

import dataclasses
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import models
import pytest

from worker import create_pipeline, download
from worker.errors import BundleError, SourceError
from worker.inference.bundle import load_bundle
from worker.pipeline.official import model_folder


def archive(*others: tarfile.TarInfo) -> bytes:
    """A model as PaddleX packs it, and what else is to be in there."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file in models.bare_export().iterdir():
            tar.add(file, f"STFPM_infer/{file.name}")
        for other in others:
            tar.addfile(other, io.BytesIO(b"x" * other.size))
    return packed.getvalue()


class Server(ThreadingHTTPServer):
    content = b""
    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.content = archive()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/STFPM_infer.tar"
    monkeypatch.setattr(download, "STFPM", dataclasses.replace(download.STFPM, url=url))
    yield server
    server.shutdown()
    server.server_close()


def test_it_is_fetched_at_first_use_and_kept(server: Server, tmp_path: Path) -> None:
    folder = model_folder("STFPM", tmp_path)

    assert load_bundle(folder).identity == "STFPM"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in models.bare_export().iterdir()
    )
    assert model_folder("STFPM", tmp_path) == folder
    assert server.asked == 1


def test_a_pipeline_by_name_runs_it(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINE_CACHE", str(tmp_path))
    with create_pipeline("anomaly_detection", device="cpu") as pipeline:
        assert next(iter(pipeline.predict(models.images(1)[0])))["pred"].shape == (1, models.SIDE, models.SIDE)


def test_what_came_is_held_to_from_there_on(server: Server, tmp_path: Path) -> None:
    model_folder("STFPM", tmp_path)
    (tmp_path / "models" / "STFPM_infer.tar").write_bytes(b"altered")

    model_folder("STFPM", tmp_path)  # fetched anew
    assert server.asked == 2
    (tmp_path / "models" / "STFPM_infer.tar").write_bytes(b"altered again")
    server.content = archive(tarfile.TarInfo("other"))
    with pytest.raises(SourceError, match="not the file wanted"):
        model_folder("STFPM", tmp_path)


def test_a_file_that_somebody_put_there_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = dataclasses.replace(download.STFPM, url="http://127.0.0.1:9/STFPM_infer.tar")
    monkeypatch.setattr(download, "STFPM", away)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "STFPM_infer.tar").write_bytes(archive())

    assert load_bundle(model_folder("STFPM", tmp_path)).threshold == 0.01


def test_without_a_network_it_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = dataclasses.replace(download.STFPM, url="http://127.0.0.1:9/STFPM_infer.tar")
    monkeypatch.setattr(download, "STFPM", away)
    monkeypatch.setattr(download, "_ATTEMPTS", 1)

    with pytest.raises(SourceError, match=r"put it at .*STFPM_infer\.tar, or name a model folder of your own"):
        model_folder("STFPM", tmp_path)


def test_an_archive_puts_nothing_anywhere_else(server: Server, tmp_path: Path) -> None:
    outside = tarfile.TarInfo("../../escaped.txt")
    absolute = tarfile.TarInfo("/tmp/escaped.txt")
    outside.size = absolute.size = 5
    link = tarfile.TarInfo("STFPM_infer/inference.yml")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    server.content = archive(outside, absolute, link)

    folder = model_folder("STFPM", tmp_path / "cache")

    assert not list(tmp_path.rglob("escaped.txt"))
    assert not (folder / "inference.yml").is_symlink()
    assert load_bundle(folder)


def test_what_is_no_archive_says_so(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>not found</html>"

    with pytest.raises(BundleError, match="not an archive"):
        model_folder("STFPM", tmp_path)


def test_an_archive_without_a_model_is_no_model(server: Server, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w"):
        pass
    server.content = packed.getvalue()

    with pytest.raises(BundleError, match="inference"):
        load_bundle(model_folder("STFPM", tmp_path))


def test_a_folder_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models.copy_to(tmp_path / "STFPM")

    assert model_folder("STFPM", tmp_path / "cache") == Path("STFPM")
    with pytest.raises(SourceError, match="the only model by name is STFPM"):
        model_folder("PatchCore", tmp_path)
