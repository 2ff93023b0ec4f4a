"""Packing a stack for a box without a network, and taking it apart there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.demo import MODEL

ROOT = Path(__file__).parents[2]
AIRGAP = ROOT / "deploy" / "airgap"
IMAGE = "localhost/line-worker-airgap-test:1.0"


def run(script: str, *arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", AIRGAP / script, *map(str, arguments)],
        cwd=cwd, env=os.environ | variables, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Stands where docker would: what may not be loaded must not come so far."""
    program = tmp_path / "engine"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/engine.log\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive as save.sh makes it, but of few bytes; `box/` is where it arrives."""
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "images.tar").write_bytes(b"images" * 1000)
    with tarfile.open(parts / "stack.tar.gz", "w:gz") as tar:
        tar.add(ROOT / "docker-compose.yml", "docker-compose.yml")
        tar.add(ROOT / ".env.example", ".env.example")
    with tarfile.open(parts / "model.tar.gz", "w:gz") as tar:
        tar.add(MODEL, ".")
    write_sums(parts)
    return pack(parts, tmp_path / "box" / "line.tar")


def write_sums(parts: Path) -> None:
    files = [file for file in sorted(parts.iterdir()) if file.name != "SHA256SUMS"]
    (parts / "SHA256SUMS").write_text("".join(f"{digest(file)}  {file.name}\n" for file in files))


def pack(parts: Path, archive: Path) -> Path:
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w") as tar:
        tar.add(parts, ".")
    Path(f"{archive}.sha256").write_text(f"{digest(archive)}  {archive.name}\n")
    return archive


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def change_a_byte(file: Path, place: int = 5000) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def test_a_whole_archive_becomes_a_folder_with_the_model_in_its_settings(archive: Path, engine: Path) -> None:
    folder = archive.parent / "line-worker"
    done = run("load.sh", archive, folder, ENGINE=str(engine))
    assert done.returncode == 0, done.stderr
    assert (folder / "docker-compose.yml").read_bytes() == (ROOT / "docker-compose.yml").read_bytes()
    assert (folder / ".env").read_text().endswith("\nMODEL=./model\n")
    assert (folder / "model" / "inference.pdiparams").read_bytes() == (MODEL / "inference.pdiparams").read_bytes()
    assert engine.with_name("engine.log").read_text().startswith("load -i ")
    assert sorted(path.name for path in archive.parent.iterdir()) == ["line-worker", "line.tar", "line.tar.sha256"]
    # Twice
    again = run("load.sh", archive, folder, ENGINE=str(engine))
    assert again.returncode == 1
    assert "is there already; nothing was loaded" in again.stderr


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (change_a_byte, "is not what was saved: its SHA-256 is another"),
        (lambda archive: archive.write_bytes(archive.read_bytes()[:-20_000]), "is not what was saved"),
        (lambda archive: archive.write_bytes(b""), "is not what was saved"),
        (lambda archive: archive.unlink(), "cannot be read"),
        (lambda archive: Path(f"{archive}.sha256").unlink(), "there is no"),
        (lambda archive: Path(f"{archive}.sha256").write_text(""), "is not what was saved"),
    ],
)  # fmt: skip
def test_a_damaged_archive_is_refused(damage: Damage, said: str, archive: Path, engine: Path) -> None:
    damage(archive)
    folder = archive.parent / "line-worker"
    done = run("load.sh", archive, folder, ENGINE=str(engine))
    assert done.returncode != 0
    assert said in done.stderr
    assert not folder.exists()
    assert not engine.with_name("engine.log").exists()


def test_a_part_that_is_not_what_was_saved_is_refused(archive: Path, engine: Path) -> None:
    """Someone packed the archive anew, with its checksum."""
    parts = archive.parents[1] / "parts"
    change_a_byte(parts / "images.tar")
    pack(parts, archive)
    folder = archive.parent / "line-worker"
    done = run("load.sh", archive, folder, ENGINE=str(engine))
    assert done.returncode == 1
    assert "a part of" in done.stderr
    assert not folder.exists()
    assert not engine.with_name("engine.log").exists()
    assert sorted(path.name for path in archive.parent.iterdir()) == ["line.tar", "line.tar.sha256"]


def test_a_checksum_that_was_told_otherwise_wins_over_the_one_beside_the_archive(archive: Path, engine: Path) -> None:
    right = digest(archive)
    parts = archive.parents[1] / "parts"
    (parts / "images.tar").write_bytes(b"evil")
    write_sums(parts)
    pack(parts, archive)
    folder = archive.parent / "line-worker"
    done = run("load.sh", "-s", right, archive, folder, ENGINE=str(engine))
    assert done.returncode == 1
    assert "its SHA-256 is another" in done.stderr
    assert not engine.with_name("engine.log").exists()


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl on the PATH")
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


def sign(private: Path, archive: Path) -> None:
    subprocess.run(
        ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", f"{archive}.sha256", "-out",
         f"{archive}.sig"],
        check=True,
    )  # fmt: skip


def test_a_signature_shows_whose_archive_it_is(archive: Path, engine: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    folder = archive.parent / "line-worker"
    unsigned = run("load.sh", "-k", public, archive, folder, ENGINE=str(engine))
    assert unsigned.returncode == 1
    assert "does not fit" in unsigned.stderr
    sign(private, archive)
    parts = archive.parents[1] / "parts"
    (parts / "images.tar").write_bytes(b"evil")
    write_sums(parts)
    pack(parts, archive)
    forged = run("load.sh", "-k", public, archive, folder, ENGINE=str(engine))
    assert forged.returncode == 1
    assert not engine.with_name("engine.log").exists()
    sign(private, archive)
    assert run("load.sh", "-k", public, archive, folder, ENGINE=str(engine)).returncode == 0


@pytest.mark.parametrize("script", ["save.sh", "load.sh"])
def test_a_wrong_call_is_told_the_right_one(script: str, tmp_path: Path) -> None:
    for arguments in ((), ("-x",), ("a", "b", "c")):
        done = run(script, *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert f"{script} [" in done.stderr
        assert "set -eu" not in done.stderr


def test_what_is_no_model_is_not_packed(tmp_path: Path) -> None:
    done = run("save.sh", "-m", tmp_path, tmp_path / "x.tar", cwd=ROOT)
    assert done.returncode == 1
    assert "is no model folder" in done.stderr
    assert not (tmp_path / "x.tar").exists()


def works(call: list[str]) -> bool:
    return subprocess.run(call, capture_output=True, check=False).returncode == 0


def container_tools() -> tuple[str, str]:
    """An engine that works, and what reads compose files with it."""
    for engine, compose in (("docker", "docker compose"), ("podman", "podman-compose")):
        calls = [[engine, "info"], [*compose.split(), "version"]]
        if all(shutil.which(call[0]) and works(call) for call in calls):
            return engine, compose
    pytest.skip("needs docker with compose, or podman with podman-compose, that work")


def test_an_image_arrives_with_its_stack_and_model(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    engine, compose = container_tools()
    private, public = keys
    # Given a repository whose stack is one image of a few bytes
    project = tmp_path / "project"
    for name in (".env.example", "LICENSE", "README.md", "configs", "deploy", "worker/demo/model"):
        source, target = ROOT / name, project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (project / "Dockerfile").write_text("FROM scratch\nCOPY LICENSE /LICENSE\n")
    (project / "docker-compose.yml").write_text(
        f"name: airgap-test\nservices:\n  one:\n    image: {IMAGE}\n    pull_policy: never\n    build: .\n"
    )
    variables = {"ENGINE": engine, "COMPOSE": compose, "BUILDAH_ISOLATION": "chroot"}
    archive = tmp_path / "media" / "line.tar"
    archive.parent.mkdir()
    try:
        # When it is saved, lost, and loaded again
        saved = run("save.sh", "-m", MODEL, "-k", private, archive, cwd=project, **variables)
        assert saved.returncode == 0, saved.stdout + saved.stderr
        names = {"line.tar", "line.tar.sha256", "line.tar.sig", "load.sh"}
        assert {path.name for path in archive.parent.iterdir()} == names
        subprocess.run([engine, "rmi", "-f", IMAGE], check=True, capture_output=True)
        folder = tmp_path / "line-worker"
        loaded = run("load.sh", "-k", public, archive, folder, **variables)
        assert loaded.returncode == 0, loaded.stdout + loaded.stderr
        # Then it is all there
        subprocess.run([engine, "image", "inspect", IMAGE], check=True, capture_output=True)
        assert (folder / "deploy" / "compose" / "secrets.sh").is_file()
        assert (folder / "model" / "bundle.json").read_bytes() == (MODEL / "bundle.json").read_bytes()
    finally:
        subprocess.run([engine, "rmi", "-f", IMAGE], check=False, capture_output=True)
