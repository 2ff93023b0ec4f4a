"""A real Prometheus scrapes the running system: it finds what the documentation lists, and the ledger's own numbers."""

from __future__ import annotations

import re
import time
from pathlib import Path

from ports import free_port

from worker.stream.fields import entry_time_ns

from .prometheus import Prometheus
from .running import RunningLine

PAGE = Path(__file__).parents[2] / "deploy" / "docs" / "metrics.md"
OF_PRODUCE = {"line_produced_frames_total", "line_camera_outages_total"}
IN_HAND = 3 * 8  # frames of a worker that dies: committed, perhaps, but not yet measured


def listed_metrics() -> set[str]:
    """The metrics in the table of deploy/docs/metrics.md."""
    section = PAGE.read_text()
    names = set(re.findall(r"^\| `(line_\w+)` \|", section, re.MULTILINE))
    assert names, "deploy/docs/metrics.md has no table of metrics"
    return names


def scraped(prometheus: Prometheus) -> dict[str, object]:
    """The ledger as Prometheus has it."""
    return {
        "produced": sum(prometheus.query("line_frames_produced_total").values()),
        "verdicts": prometheus.query("sum by (verdict) (line_frames_total)"),
        "dropped": prometheus.query("sum by (reason) (line_frames_dropped_total)"),
        "dead": sum(prometheus.query("line_dead_letters_total").values()),
        "backlog": sum(prometheus.query("line_backlog_frames").values()),
        "difference": sum(prometheus.query("line_ledger_difference").values()),
    }


def booked(line: RunningLine) -> dict[str, object]:
    """The ledger as Redis has it."""
    books = line.ledger()
    return {
        "produced": books.produced,
        "verdicts": {(verdict,): count for verdict, count in books.verdicts.items() if count},
        "dropped": {(reason,): count for reason, count in books.dropped.items()},
        "dead": books.dead,
        "backlog": 0,
        "difference": 0,
    }


def alerts_scraped(prometheus: Prometheus) -> float:
    return sum(prometheus.query("line_alerts_total").values())


def alerts_said(line: RunningLine) -> int:
    """Silence is an alert too: the number may grow at any time."""
    return int(line.client.execute_command("XLEN", line.keys.alerts))


def let_all_be_scraped(line: RunningLine, prometheus: Prometheus) -> None:
    """Wait until nothing is in work, and each endpoint was read after that."""
    line.wait_until(lambda: line.ledger().backlog == 0, 60, "every frame is inspected")
    now = time.time()
    line.wait_until(lambda: prometheus.has_scraped_all_since(now), 30, "every endpoint was scraped")


def test_prometheus_sees_the_listed_metrics_and_the_ledgers_numbers(
    redis_url: str, small_model: Path, prometheus_program: str, tmp_path: Path
) -> None:
    ports = {job: free_port() for job in ("run", "alerts", "produce", "serve")}
    served = {"metrics__port": ports["run"], "metrics__alerts_port": ports["alerts"]}
    settings = served | {"queue__max_frames": 40, "takt_ms": 500}
    settings |= {"evidence__folder": tmp_path / "evidence"}
    with (
        RunningLine(redis_url, tmp_path, model=small_model, **settings) as line,
        Prometheus(prometheus_program, tmp_path, ports) as prometheus,
    ):
        # Given drops at a full queue, a dead letter, alerts on parts that are all rejected, and a camera that is
        # away, for which `produce` stays and serves its counts
        sources = ["a=test://?seed=1&size=64&count=50", "b=test://?seed=2&size=64&count=50"]
        away = "away=rtsp://127.0.0.1:9/none"
        line.start("alerts", "alerts")
        line.start("serve", "serve", gateway__port=ports["serve"])
        line.start(
            "produce", "produce", *sources, away, "--policy", "drop-newest", metrics__produce_port=ports["produce"]
        )
        line.wait_until(lambda: line.ledger().produced == 100, 30, "both cameras are at their end")
        line.client.execute_command("XADD", line.keys.frames, "*", "camera", "a", "data", "this is no picture")
        line.start_workers("--threshold", "0")
        let_all_be_scraped(line, prometheus)

        # I expect each number to be the ledger's, and those of the processes to fit it
        assert scraped(prometheus) == booked(line)
        assert booked(line)["dropped"] == {("drop-newest",): 60}
        assert prometheus.query("sum(line_latency_seconds_count)") == {(): 40}
        assert prometheus.query("sum(line_batch_size_sum)") == {(): 40}
        assert prometheus.query("sum by (outcome) (line_produced_frames_total)") == {
            ("dropped",): 60,
            ("published",): 40,
        }
        assert prometheus.query('sum(line_camera_outages_total{camera="away"})') == {(): 1}
        assert list(prometheus.query("line_worker_up").values()) == [1, 1]
        assert prometheus.query("sum(line_score_ratio_count)") == {(): 40}
        assert prometheus.query("max by (camera) (line_threshold)") == {("a",): 0, ("b",): 0}
        assert prometheus.query("sum by (model) (line_model_info)") == {(small_model.name,): 2}
        assert prometheus.query("max by (line) (line_takt_seconds)") == {("test",): 0.5}
        assert prometheus.query("max by (line) (line_queue_limit_frames)") == {("test",): 40}
        latest = max(entry_time_ns(result.id) for result in line.results()) / 1e9
        (told,) = prometheus.query("max(line_last_result_timestamp_seconds)").values()
        assert latest - 1 <= told <= time.time()

        # If a picture is black, and a worker is killed in mid-batch, with more parts on their way
        black = ("data", bytes(64 * 64), "encoding", "mono8", "width", 64, "height", 64)
        line.client.execute_command("XADD", line.keys.frames, "*", "camera", "c", *black)
        line.start("more", "produce", "c=test://?seed=3&size=64&count=400")
        line.wait_until(lambda: sum(line.ledger().verdicts.values()) > 100, 30, "more parts are inspected")
        victim = next(iter(line.worker_pids()))
        line.kill_in_mid_batch(victim)
        line.finish("more")
        line.wait_until(lambda: len(line.events("run", "worker ready")) == 3, 60, "the worker is replaced")
        let_all_be_scraped(line, prometheus)

        # I expect the same again, no count going back, and the restart
        assert scraped(prometheus) == booked(line)
        assert booked(line)["verdicts"] == {("NG",): 440, ("INVALID",): 1}
        (measured,) = prometheus.query("sum(line_latency_seconds_count)").values()
        assert 441 - IN_HAND <= measured <= 441
        assert prometheus.query("sum by (camera, reason) (line_invalid_frames_total)") == {("c", "dark"): 1}
        assert prometheus.query("sum(resets(line_frames_produced_total[5m]))") == {(): 0}
        assert prometheus.query("sum by (worker, reason) (line_worker_restarts_total > 0)") == {("crash", victim): 1}
        assert list(prometheus.query("line_worker_up").values()) == [1, 1]
        line.wait_until(lambda: alerts_scraped(prometheus) == alerts_said(line), 30, "every alert event is scraped")

        # And every metric that the page lists
        names = {name.removesuffix("_bucket") for name in prometheus.names()}
        assert (listed_metrics() | OF_PRODUCE) - names == set()
