"""`line-worker keys`: keys are printed once, revoked at once, and no fault leaves half a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
from click.testing import CliRunner, Result
from small_disk import on_small_disk

from worker.cli import main
from worker.gateway.access.key_file import add_key, key_names
from worker.gateway.access.keys import KeyRing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


def keys(*arguments: object, **variables: str) -> Result:
    return CliRunner().invoke(main, ["keys", *map(str, arguments)], env=variables)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "worker", "keys", *map(str, arguments)]


def test_a_key_is_printed_once_and_works(file: Path) -> None:
    done = keys("add", "pc-1", "--file", file)
    assert (done.exit_code, done.stderr) == (0, "")
    assert KeyRing.read(file).name_of(done.stdout.strip()) == "pc-1"
    assert done.stdout.strip() not in file.read_text()


def test_keys_are_listed_and_revoked(file: Path) -> None:
    first = keys("add", "a", "--file", file).stdout.strip()
    keys("add", "b", "--file", file)
    assert keys("list", "--file", file).stdout == "a\nb\n"
    ring = KeyRing.read(file)
    done = keys("remove", "a", "--file", file)
    assert (done.exit_code, done.output) == (0, "")
    assert keys("list", "--file", file).stdout == "b\n"
    assert ring.name_of(first) is None


def test_who_revokes_the_last_key_is_told_what_that_means(file: Path) -> None:
    keys("add", "a", "--file", file)
    done = keys("remove", "a", "--file", file)
    assert done.exit_code == 0
    assert "lets nobody in" in done.stderr
    assert keys("list", "--file", file).output == ""
    assert keys("add", "b", "--file", file).exit_code == 0


def test_the_file_may_stand_in_the_settings(file: Path, tmp_path: Path) -> None:
    assert keys("add", "a", LINE_GATEWAY__KEYS_FILE=str(file)).exit_code == 0
    config = tmp_path / "line.yml"
    config.write_text(f"gateway: {{keys_file: {file}}}\n")
    assert keys("list", "--config", config).stdout == "a\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "a"], "name the file of keys with --file or LINE_GATEWAY__KEYS_FILE"),
        (["add", "a b", "--file", "{file}"], "'a b' is no key's name"),
        (["add", "x" * 65, "--file", "{file}"], "is no key's name"),
        (["add", "a\n", "--file", "{file}"], "is no key's name"),
        (["add", "there", "--file", "{file}"], "has a key there already"),
        (["add", "a", "--file", "{file}/x"], "cannot be changed: Not a directory"),
        (["add", "a", "--file", "/no/such/folder/keys"], "cannot be changed: No such file or directory"),
        (["remove", "nobody", "--file", "{file}"], "has no key 'nobody'"),
        (["remove", "a", "--file", "{file}.none"], "No such file or directory"),
        (["list", "--file", "{file}.none"], "No such file or directory"),
    ],
)
def test_errors_are_told_and_change_nothing(arguments: list[str], says: str, file: Path) -> None:
    keys("add", "there", "--file", file)
    before = file.read_text()
    done = keys(*(argument.format(file=file) for argument in arguments))
    assert done.exit_code == 78
    assert says in done.stderr
    assert done.stdout == ""
    assert file.read_text() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("arguments", [["add", "b"], ["remove", "a"], ["list"]])
def test_a_damaged_file_is_left_alone(arguments: list[str], file: Path) -> None:
    keys("add", "a", "--file", file)
    file.write_text(text := file.read_text() + "what is this\n")
    done = keys(*arguments, "--file", file)
    assert done.exit_code == 78
    assert "line 2 is damaged" in done.stderr
    assert file.read_text() == text


def test_keys_that_are_added_at_the_same_time_are_all_there(file: Path) -> None:
    code = "import sys; from pathlib import Path; from worker.gateway.access.key_file import add_key\n"
    code += "print('ready', flush=True); input()\n"  # all begin at once, not as they have started
    code += "for number in range(25): print(add_key(Path(sys.argv[1]), f'{sys.argv[2]}-{number}'))"
    running = [
        subprocess.Popen([sys.executable, "-c", code, file, str(one)], stdin=PIPE, stdout=PIPE, text=True)
        for one in range(4)
    ]
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    printed = [key for one in running for key in one.communicate()[0].split()]
    ring = KeyRing.read(file)
    assert sorted(key_names(file)) == sorted(f"{one}-{number}" for one in range(4) for number in range(25))
    assert None not in {ring.name_of(key) for key in printed}
    assert len(printed) == 100


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    # All in one shell, since what is mounted is there for it and its children alone.
    script = (
        f'set -e; for name in first other; do "$0" -m worker keys add $name --file {disk}/keys >/dev/null; done\n'
        f"cp {disk}/keys {tmp_path}/before\n"
        f"head -c 1G /dev/zero >{disk}/filler 2>/dev/null || true\n"
        'for change in "add second" "remove first"; do\n'
        f'  if "$0" -m worker keys $change --file {disk}/keys; then exit 9; else test $? = 78; fi\n'
        "done\n"
        f"cmp {disk}/keys {tmp_path}/before; rm {disk}/filler; ls -A {disk}"
    )
    done = subprocess.run(
        [*on_small_disk(disk, "64k"), "sh", "-c", script, sys.executable], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "keys\n")
    assert done.stderr.count("cannot be changed: No space left on device") == 2


def test_a_key_that_cannot_be_printed_is_not_kept(file: Path) -> None:
    add_key(file, "there")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("add", "a", "--file", file), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "the key cannot be printed, and was not kept: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert key_names(file) == ["there"]
