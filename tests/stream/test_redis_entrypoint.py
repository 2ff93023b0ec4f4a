"""How the Redis of deploy/redis starts: with a password for each user, or not at all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .guarded import DEPLOY


def start(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"REDIS_SECRETS_DIR": str(folder), "REDIS_ACL_FILE": str(folder / "users.acl"), "REDIS_SERVER": "echo"}
    return subprocess.run(
        [DEPLOY / "entrypoint.sh", "--port", "1"], env=os.environ | variables | environment,
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        ("", "16 characters"),
        ("short", "16 characters"),
        ("0123456789abcdef\nuser evil on nopass ~* +@all", "one line"),
        ("0123456789abcdef\r", "one line"),
        ("the camera's password", "another user's"),
    ],
)
def test_a_bad_password_keeps_redis_from_starting(tmp_path: Path, content: str | None, complaint: str) -> None:
    subprocess.run([DEPLOY / "make-secrets.sh", tmp_path], check=True)
    (tmp_path / "redis_camera_password").write_text("the camera's password")
    (tmp_path / "redis_worker_password").unlink()
    if content is not None:
        (tmp_path / "redis_worker_password").write_text(content)
    ended = start(tmp_path)
    assert ended.returncode == 78
    assert complaint in ended.stderr
    assert "worker" in ended.stderr
    assert not (tmp_path / "users.acl").exists()


@pytest.mark.parametrize("line", ["a b", "x}:frames +@all ~*", "*?", "[a]"])
def test_a_name_that_no_line_has_keeps_redis_from_starting(tmp_path: Path, line: str) -> None:
    subprocess.run([DEPLOY / "make-secrets.sh", tmp_path], check=True)
    assert start(tmp_path, LINE_LINE=line).returncode == 78


def test_the_acl_file_holds_no_password_and_is_for_nobody_else(tmp_path: Path) -> None:
    subprocess.run([DEPLOY / "make-secrets.sh", tmp_path], check=True)
    passwords = {path.name: path.read_text() for path in tmp_path.glob("redis_*_password")}
    (tmp_path / "redis_admin_password").unlink()
    ended = start(tmp_path)
    written = (tmp_path / "users.acl").read_text()
    assert ended.returncode == 0
    assert not any(password in written + ended.stdout + ended.stderr for password in passwords.values())
    assert (tmp_path / "users.acl").stat().st_mode & 0o077 == 0
    assert "@" not in written.replace("-@all", "").replace("+@all", "")
    assert "user admin" not in written
    # Making passwords again changes none, and no two are the same
    subprocess.run([DEPLOY / "make-secrets.sh", tmp_path], check=True)
    again = {path.name: path.read_text() for path in tmp_path.glob("redis_*_password")}
    assert again.pop("redis_admin_password") != passwords.pop("redis_admin_password")
    assert again == passwords
    assert len(set(passwords.values())) == len(passwords)
