"""Prometheus' configuration and rules, by its own tools; every alert is tested both ways and has its runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOKS = DEPLOY / "docs" / "operate.md"


def alerts() -> dict[str, dict[str, Any]]:
    """Every alert's rule by its name."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    named = {rule["alert"]: rule for rule in rules}
    assert len(named) == len(rules), "two alerts have one name"
    return named


def anchors(text: str) -> set[str]:
    """What a link may go to in a Markdown page, as GitHub makes it of each heading."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def promtool(*arguments: object) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool on the PATH (apt install prometheus)")
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_understood() -> None:
    promtool("check", "rules", *RULES)


def test_the_configuration_is_understood_and_finds_the_rules() -> None:
    assert f"{len(RULES)} rule files found" in promtool("check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(file: Path) -> None:
    promtool("test", "rules", file)


def test_every_alert_is_among_those_that_a_test_saw_fire() -> None:
    fired = {name for file in TESTS for name in re.findall(r"alertname=\"(\w+)\"", file.read_text())}
    assert fired == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_every_alert_says_how_bad_it_is_what_it_means_and_where_its_runbook_is(name: str) -> None:
    rule = alerts()[name]
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    told = rule["annotations"]
    assert told["description"].endswith(".")
    assert not told["summary"].endswith(".")
    page, _, anchor = told["runbook_url"].partition("#")
    assert page == "deploy/docs/operate.md"
    assert anchor in anchors(RUNBOOKS.read_text())


def test_the_lines_own_kinds_of_alert_have_runbooks_too() -> None:
    from worker.types import AlertKind

    headings = RUNBOOKS.read_text()
    assert [kind for kind in AlertKind if f"### `{kind}`" not in headings] == []
