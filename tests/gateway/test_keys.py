"""The ring of keys: who is let in, what a damaged file does, and changes while a service runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from worker.errors import SettingsError
from worker.gateway.access.key_file import add_key, key_names, remove_key
from worker.gateway.access.keys import KeyRing, line_of, parse_keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


def test_a_key_is_known_by_its_name_and_no_other_is(file: Path) -> None:
    keys = {name: add_key(file, name) for name in ("left", "right.2", "_-")}
    ring = KeyRing.read(file)
    assert {name: ring.name_of(key) for name, key in keys.items()} == {name: name for name in keys}
    left = keys["left"]
    for other in ("", "left", left[:-1], left + "x", left.upper(), f" {left}", "\ud800", "é", "x" * 100_000):
        assert ring.name_of(other) is None


def test_the_hash_that_stands_in_the_file_opens_nothing(file: Path) -> None:
    key = add_key(file, "a")
    ring = KeyRing.read(file)
    line = file.read_text().strip()
    assert key not in line
    for part in (line, line.split()[1], line.rpartition(":")[2]):
        assert ring.name_of(part) is None


def test_keys_are_long_random_and_never_the_same(tmp_path: Path) -> None:
    keys = {add_key(tmp_path / "keys.txt", f"k{number}") for number in range(20)}
    assert len(keys) == 20
    assert all(key.startswith("lw_") and len(key) == 46 for key in keys)  # 256 bits in 43 characters


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "holds no key; `line-worker keys add"),
        (b"\n# nobody yet\n", "holds no key"),
        (b"a\n", "line 1 is damaged"),
        (b"# ours\n\na sha256:" + b"0" * 63, "line 3 is damaged"),
        (b"a sha256:" + b"0" * 64 + b"\nb sha1:" + b"0" * 64, "line 2 is damaged"),
        (b"a b sha256:" + b"0" * 64, "line 1 is damaged"),
        (b"a/b sha256:" + b"0" * 64, "line 1 is damaged"),
        (b"x" * 65 + b" sha256:" + b"0" * 64, "line 1 is damaged"),
        (b"a sha256:" + b"g" * 64, "line 1 is damaged"),
        (b"a sha256:" + "٠".encode() * 64, "line 1 is damaged"),
        (b"a sha256:" + b"0" * 64 + b"\na sha256:" + b"1" * 64, "line 2 has the name of an earlier one, a"),
        (b"a sha256:" + b"0" * 64 + b"\n\n\xff", "line 3 is damaged: it is no UTF-8"),
        (b"\0" * (2**20 + 1), "is larger than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_good_is_a_wrong_setting(file: Path, text: bytes, says: str) -> None:
    file.write_bytes(text)
    with pytest.raises(SettingsError, match=rf"gateway\.keys_file .*keys\.txt: {says}"):
        KeyRing.read(file)


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir, os.mkfifo], ids=["missing", "folder", "pipe"])
def test_what_is_no_file_is_a_wrong_setting(file: Path, make: Callable[[Path], None]) -> None:
    make(file)
    with pytest.raises(
        SettingsError, match=r"gateway\.keys_file .*: (No such file or directory; `line-worker keys|is no)"
    ):
        KeyRing.read(file)


def test_what_editors_leave_behind_does_not_matter(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf# ours\r\n\r\n  " + line_of("a", "key").encode().replace(b" ", b"\t ") + b"  \r\n")
    assert KeyRing.read(file).name_of("key") == "a"


@given(st.text())
def test_whatever_stands_in_a_file_is_read_or_refused(text: str) -> None:
    try:
        keys = parse_keys(Path("keys.txt"), text)
    except SettingsError:
        return
    assert all(len(digest) == 32 for digest in keys.values())


def test_a_revoked_key_stops_working_at_once_and_a_new_one_works(file: Path) -> None:
    stays, goes = add_key(file, "stays"), add_key(file, "goes")
    ring = KeyRing.read(file)
    assert ring.name_of(goes) == "goes"
    remove_key(file, "goes")
    assert (ring.name_of(goes), ring.name_of(stays)) == (None, "stays")
    comes = add_key(file, "comes")
    assert ring.name_of(comes) == "comes"


def test_a_key_that_was_changed_by_hand_within_the_same_second_is_another(file: Path) -> None:
    file.write_text(line_of("a", "one") + "\n")
    ring = KeyRing.read(file)
    assert ring.name_of("one") == "a"
    before = file.stat()
    file.write_text(line_of("a", "two") + "\n")  # as long as before
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (ring.name_of("one"), ring.name_of("two")) == (None, "a")


def make_missing(file: Path) -> None:
    file.rename(file.with_suffix(".away"))


def make_damaged(file: Path) -> None:
    file.write_text(file.read_text() + "and more\n")


def make_empty(file: Path) -> None:
    file.write_text("")


def make_a_folder(file: Path) -> None:
    make_missing(file)
    file.mkdir()


@pytest.mark.parametrize("spoil", [make_missing, make_damaged, make_empty, make_a_folder])
def test_nobody_is_let_in_while_the_file_is_no_good(file: Path, spoil: Callable[[Path], None]) -> None:
    key = add_key(file, "a")
    good = file.read_text()
    ring = KeyRing.read(file)
    assert ring.name_of(key) == "a"
    spoil(file)
    with capture_logs() as logs:
        assert [ring.name_of(key) for _ in range(3)] == [None] * 3
    assert [line["log_level"] for line in logs] == ["error"]  # once, and not for every request
    assert "gateway.keys_file" in logs[0]["error"]
    if file.is_dir():
        file.rmdir()
    file.write_text(good)
    assert ring.name_of(key) == "a"


def test_a_file_that_comes_back_as_it_was_lets_in_as_before(file: Path) -> None:
    key = add_key(file, "a")
    ring = KeyRing.read(file)
    make_missing(file)
    assert ring.name_of(key) is None
    file.with_suffix(".away").rename(file)
    assert ring.name_of(key) == "a"


def test_a_file_that_is_not_changed_is_not_read_again(file: Path) -> None:
    key = add_key(file, "a")
    ring = KeyRing.read(file)
    with capture_logs() as logs:
        assert {ring.name_of(key) for _ in range(10)} == {"a"}
    assert logs == []


def test_no_key_is_ever_logged(file: Path) -> None:
    with capture_logs() as logs:
        key = add_key(file, "a")
        ring = KeyRing.read(file)
        make_damaged(file)
        ring.name_of(key)
    assert logs
    assert key not in str(logs)
    assert line_of("a", key).rpartition(":")[2] not in str(logs)


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True), (0o606, True)]
)
def test_a_file_that_others_can_read_or_change_is_warned_of(file: Path, mode: int, warned: bool) -> None:
    add_key(file, "a")
    file.chmod(mode)
    with capture_logs() as logs:
        KeyRing.read(file)
    assert [line["mode"] for line in logs if line["log_level"] == "warning"] == [f"{mode:o}"] * warned


def test_a_new_file_is_for_its_owner_alone_and_a_changed_one_keeps_its_rights(file: Path) -> None:
    old = os.umask(0)
    try:
        add_key(file, "a")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        file.chmod(0o640)
        add_key(file, "b")
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_changed_file_keeps_its_owner(file: Path) -> None:
    add_key(file, "a")
    os.chown(file, 1234, 2345)
    remove_key(file, "a")
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 2345)


def test_a_link_to_the_file_stays_one(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "keys"
    real.parent.mkdir()
    file.symlink_to(real)
    key = add_key(file, "a")
    assert file.is_symlink()
    assert KeyRing.read(file).name_of(key) == "a"
    assert real.is_file()


def test_what_people_wrote_into_the_file_stays(file: Path) -> None:
    file.write_text("# ours\n" + line_of("a", "one") + "\n# theirs, no newline at the end")
    add_key(file, "b")
    remove_key(file, "a")
    lines = file.read_text().splitlines()
    assert lines[:2] == ["# ours", "# theirs, no newline at the end"]
    assert key_names(file) == ["b"]
