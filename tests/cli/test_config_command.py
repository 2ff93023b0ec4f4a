"""`config`: what is in force and where each value came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from worker.cli import main
from worker.settings import Settings, describe


@pytest.fixture
def line_yml(tmp_path: Path) -> Path:
    path = tmp_path / "line.yml"
    path.write_text("queue: {policy: drop-oldest}\nredis: {url: 'redis://u:s3cret@h/0'}\n")
    return path


def test_it_shows_every_setting_with_its_value_and_origin(line_yml: Path) -> None:
    done = CliRunner().invoke(main, ["config", "--config", str(line_yml)], env={"LINE_DEVICES": "cpu:0"})
    assert done.exit_code == 0
    rows = {line.split()[0]: line for line in done.output.splitlines()}
    assert set(rows) == set(describe(Settings()))
    assert rows["queue.policy"].split()[1:] == ["drop-oldest", str(line_yml)]
    assert rows["devices"].split()[1:] == ["cpu:0", "env", "LINE_DEVICES"]
    assert rows["batch.max_batch"].split()[1:] == ["8", "default"]
    assert rows["model"].split()[1:] == ["default"]


def test_it_masks_the_password(line_yml: Path) -> None:
    for flags in ([], ["--json"]):
        done = CliRunner().invoke(main, ["config", "--config", str(line_yml), *flags])
        assert "redis://u:***@h/0" in done.output
        assert "s3cret" not in done.output


def test_as_json_it_is_one_object(line_yml: Path) -> None:
    done = CliRunner().invoke(main, ["config", "--json"], env={"LINE_CONFIG": str(line_yml)})
    values = json.loads(done.output)
    assert values["queue.policy"] == {"value": "drop-oldest", "from": str(line_yml)}
    assert values["threshold"] == {"value": None, "from": "default"}
    assert len(values) == len(describe(Settings()))
