"""The dashboards' JSON is what the builders write, and is laid out and described throughout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
SHARES = {"good": 0, "bad": 0.1}


def panels(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text())["panels"]
    return found


def test_the_dashboards_are_what_the_builders_write(tmp_path: Path) -> None:
    subprocess.run([sys.executable, GRAFANA / "build.py", tmp_path], check=True)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert written == {file.name: file.read_text() for file in DASHBOARDS}, "run deploy/grafana/build.py"


def test_there_are_three_each_with_a_name_of_its_own_and_links_to_the_others() -> None:
    boards = [json.loads(file.read_text()) for file in DASHBOARDS]
    assert [board["uid"] for board in boards] == [file.stem for file in DASHBOARDS]
    assert len(boards) == 3
    for board in boards:
        assert board["links"][0]["tags"] == board["tags"] == ["line-worker"]
        assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "line", "camera"]


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_says_what_it_shows_in_which_unit(file: Path) -> None:
    for panel in panels(file):
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        unit = panel["options"]["yAxis"] if panel["type"] == "heatmap" else panel["fieldConfig"]["defaults"]
        assert panel["type"] == "state-timeline" or unit["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_a_camera_without_any_ng_has_a_share_of_none(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool on the PATH (apt install prometheus)")
    [panel] = [one for one in panels(GRAFANA / "dashboards" / "cameras-and-model.json") if one["title"] == "NG share"]
    query = panel["targets"][0]["expr"].replace("$line", ".*").replace("$camera", ".*")
    counts = {("good", "OK"): "0+90x30", ("bad", "OK"): "0+90x30", ("bad", "NG"): "0+10x30"}
    series = [
        {"series": f'line_frames_total{{line="a", camera="{camera}", verdict="{verdict}"}}', "values": values}
        for (camera, verdict), values in counts.items()
    ]
    shares = [{"labels": f'{{line="a", camera="{camera}"}}', "value": value} for camera, value in SHARES.items()]
    expected = {"expr": query, "eval_time": "20m", "exp_samples": shares}
    file = tmp_path / "test.yml"
    file.write_text(
        yaml.safe_dump({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [expected]}]})
    )
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_no_panel_lies_on_another_and_no_row_has_holes(file: Path) -> None:
    places = [panel["gridPos"] for panel in panels(file)]
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    rows = {place["y"]: sum(other["w"] for other in places if other["y"] == place["y"]) for place in places}
    assert set(rows.values()) == {24}, rows
    assert len({panel["id"] for panel in panels(file)}) == len(places)


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_query_is_of_the_chosen_line(file: Path) -> None:
    for panel in panels(file):
        for target in panel.get("targets", []):
            assert target["expr"].count("{") == target["expr"].count('line=~"$line'), target["expr"]


def test_what_grafana_is_started_with_names_the_source_and_the_folder() -> None:
    provisioning = GRAFANA / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "line-worker.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
