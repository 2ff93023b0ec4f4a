"""Every query of the dashboards and rules gives data of a real line at work, which a real Prometheus scraped."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml
from ports import free_port

from .prometheus import Prometheus
from .running import RunningLine

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))

GRAFANAS = {"$__rate_interval": "20s", "$line": "test", "$camera": ".*"}
"""What Grafana puts in, for an interval of scrapes of a second and all cameras of the line."""


def dashboard_queries() -> Iterator[tuple[str, str]]:
    """Where each is, and the query as Grafana sends it."""
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{file.stem}: {panel['title']}", filled_in(target["expr"])


def variable_queries() -> Iterator[tuple[str, str]]:
    """The series and the label that each variable takes its values from."""
    for file in DASHBOARDS:
        for variable in json.loads(file.read_text())["templating"]["list"]:
            if found := re.fullmatch(r"label_values\((.+), (\w+)\)", str(variable["query"])):
                yield filled_in(found[1]), found[2]


def recorded_queries() -> Iterator[tuple[str, str]]:
    """Of the day before there is nothing yet: it is asked of now."""
    for file in RULES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    yield rule["record"], rule["expr"].replace(" offset 15m", "").replace("increase1d", "increase15m")


def filled_in(query: str) -> str:
    for name, value in GRAFANAS.items():
        query = query.replace(name, value)
    assert "$" not in query
    return query


def without_data(prometheus: Prometheus, queries: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that give nothing, or nothing but what is no number."""
    return [
        (place, query)
        for place, query in queries
        if not any(math.isfinite(value) for value in prometheus.query(query).values())
    ]


def wait_for_data(line: RunningLine, prometheus: Prometheus, queries: list[tuple[str, str]]) -> None:
    deadline = time.monotonic() + 120
    while missing := without_data(prometheus, queries):
        assert time.monotonic() < deadline, f"no data: {missing}\n{line.ledger()}"
        time.sleep(1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_query_gives_data_of_a_line_at_work(
    redis_url: str, small_model: Path, prometheus_program: str, tmp_path: Path
) -> None:
    ports = {job: free_port() for job in ("worker", "alerts", "gateway", "cameras")}
    settings = {
        "metrics__port": ports["worker"],
        "metrics__alerts_port": ports["alerts"],
        "queue__max_frames": 40,
        "takt_ms": 1000,
        "evidence__folder": tmp_path / "evidence",
        "alerts__webhook__url": f"http://127.0.0.1:{free_port()}/nobody",
    }
    with (
        RunningLine(redis_url, tmp_path, model=small_model, **settings) as line,
        Prometheus(prometheus_program, tmp_path, ports, RULES) as prometheus,
    ):
        # Given drops at a full queue, a dead letter, a black picture and one past its deadline
        line.start("alerts", "alerts")
        line.start("serve", "serve", gateway__port=ports["gateway"])
        line.start("full", "produce", "a=test://?seed=1&size=64&count=60", "--policy", "drop-newest")
        line.finish("full")
        black = ("data", bytes(64 * 64), "encoding", "mono8", "width", 64, "height", 64)
        line.client.execute_command("XADD", line.keys.frames, "*", "camera", "a", "data", "this is no picture")
        line.client.execute_command("XADD", line.keys.frames, "*", "camera", "a", *black)
        line.client.execute_command("XADD", line.keys.frames, "*", "camera", "a", "deadline_ms", 1, *black)
        # And a line that goes on, with a camera that is away, all of whose parts are rejected
        cameras = ["a=test://?seed=2&size=64", "b=test://?seed=3&size=64", "away=rtsp://127.0.0.1:9/none"]
        line.start("produce", "produce", *cameras, "--fps", "5", metrics__produce_port=ports["cameras"])
        line.start_workers("--threshold", "0")
        line.wait_until(lambda: line.ledger().verdicts["NG"] > 60, 60, "parts are rejected")
        line.kill_in_mid_batch(next(iter(line.worker_pids())))
        line.wait_until(lambda: prometheus.query("line:dead_letters:total"), 60, "the dead letters are counted")
        line.client.execute_command("XADD", line.keys.frames, "*", "camera", "a", "data", "nor is this one")
        line.wait_until(lambda: "DeadLettersGrowing" in firing(prometheus), 60, "the new one's alert fires")

        # I expect each query to give data
        queries = [*dashboard_queries(), *recorded_queries()]
        assert len(queries) > 50
        wait_for_data(line, prometheus, queries)
        for selector, label in variable_queries():
            assert prometheus.label_values(label, selector), (selector, label)

        # And the rules to be understood, to ask for what there is, and to tell what was wrong
        rules = prometheus.rules()
        assert [rule["lastError"] for rule in rules if rule["health"] == "err"] == []
        recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
        asked = {name for rule in rules for name in re.findall(r"\b(?:line_\w+|\w+:\w+:\w+)", rule["query"])}
        assert asked - prometheus.names() - recorded == set()
        assert "DeadLettersGrowing" in firing(prometheus)
        assert firing(prometheus) & {"LedgerDifference", "RedisAway", "AlertProcessAway", "ModelMismatch"} == set()
        for rule in prometheus.rules():
            for alert in rule.get("alerts", []):
                told = " ".join(alert["annotations"].values())
                assert "no value" not in told
                assert "error" not in told


def firing(prometheus: Prometheus) -> set[str]:
    return {name for (name,) in prometheus.query('count by (alertname) (ALERTS{alertstate="firing"})')}
