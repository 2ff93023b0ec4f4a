"""Every command teaches by example, and every error ends with its message, its exit code and no traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from worker.cli import COMMANDS, main
from worker.stream.connection import Client

from .conftest import Run


def every_command() -> list[tuple[str, ...]]:
    paths: list[tuple[str, ...]] = [()]
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        paths.append((name,))
        if isinstance(command, click.Group):
            paths += [(name, inner) for inner in command.list_commands(context)]
    return paths


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_help_of_every_command_says_what_it_does(path: tuple[str, ...]) -> None:
    for flag in ("--help", "-h") if len(path) < 1 else ("--help",):
        done = CliRunner().invoke(main, [*path, flag])
        assert done.exit_code == 0
        assert done.output.startswith("Usage: ")
        assert len(done.output.splitlines()) > 5


@pytest.mark.parametrize("path", [path for path in every_command() if len(path) < 2], ids=" ".join)
def test_help_shows_examples_that_name_commands_that_there_are(path: tuple[str, ...]) -> None:
    output = CliRunner().invoke(main, [*path, "--help"]).output
    assert "Examples" in output
    said = re.findall(r"\bline-worker ([a-z-]+)", output.partition("Examples")[2])
    assert said
    assert set(said) <= set(COMMANDS)
    if path:
        assert path[0] in said
    assert max(map(len, output.splitlines())) <= 120


def test_help_loads_no_framework() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from worker.cli import main;"
        "CliRunner().invoke(main, ['--help']); print([m for m in ('cv2', 'paddle', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.startswith("line-worker, version ")


def test_a_word_that_is_no_command_is_told() -> None:
    done = CliRunner().invoke(main, ["rnu"])
    assert done.exit_code == 2
    assert "No such command 'rnu'" in done.output


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "says"),
    [
        (["ledger"], {"LINE_REDIS__URL": "redis://127.0.0.1:1/0"}, 69, "Error: Redis cannot be reached"),
        (["ledger"], {"LINE_REDIS__URL": "http://x"}, 78, "Error: redis.url (from env LINE_REDIS__URL): "),
        (["ledger"], {"LINE_QUEUE__POLICY": "x"}, 78, "queue.policy (from env LINE_QUEUE__POLICY)"),
        (["ledger", "--line", "a b"], {}, 78, "line (from flag)"),
        (["ledger"], {"LINE_NONSENSE": "x"}, 78, "LINE_NONSENSE: there is no such setting"),
        (["ledger", "--config", "/no/such.yml"], {}, 78, "config file /no/such.yml: there is no such file"),
        (["config"], {"LINE_BATCH__MAX_BATCH": "0"}, 78, "batch.max_batch"),
        (["run"], {}, 78, "name a model folder with --model or LINE_MODEL"),
        (["run", "--devices", "cpu:x"], {}, 78, "devices (from flag)"),
        (["run", "--max-batch", "0"], {}, 78, "batch.max_batch (from flag)"),
        (["dead", "show", "1-1"], {}, 69, "there is no dead letter 1-1"),
        (["dead", "replay"], {}, 78, "--all"),
        (["dead", "purge", "1-1", "--all"], {}, 78, "--all"),
    ],
)
def test_errors_end_with_their_exit_code_and_no_traceback(
    redis_url: str, arguments: list[str], variables: dict[str, str], code: int, says: str
) -> None:
    environment = {"LINE_REDIS__URL": redis_url} | variables
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert done.returncode == code
    assert says in done.stderr
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_wrong_password_is_told_without_it(redis_url: str, client: Client) -> None:
    client.execute_command("CONFIG", "SET", "requirepass", "right")
    try:
        done = CliRunner().invoke(main, ["ledger", "--redis", redis_url.replace("redis://", "redis://:s3cret@")])
    finally:
        client.execute_command("CONFIG", "SET", "requirepass", "")
    assert done.exit_code == 78
    assert "Redis refuses the login" in done.stderr
    assert "s3cret" not in done.output


def test_a_pipe_that_closes_early_is_no_fault(run: Run) -> None:
    command = f"{sys.executable} -m worker config | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("line ")
    assert done.stderr == ""
