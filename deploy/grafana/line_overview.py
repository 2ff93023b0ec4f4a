"""The dashboard *Line overview*: does the line get through its frames, in time, and are all accounted for?

Every supervisor of a line serves the ledger's counts, the same ones: they are joined by max. A rate is taken before, so
that a process or a Redis that was started anew is no jump.
"""

from __future__ import annotations

from board import LINE, board
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from panels import BAD, FRAMES, FRAMES_PER_S, OK, WARN, curves, figure, listing

RATE = "[$__rate_interval]"
VERDICTS = f"max by (line, camera, verdict) (rate(line_frames_total{{{LINE}}}{RATE}))"
BACKLOG = f"max by (line) (line_backlog_frames{{{LINE}}})"


def dashboard() -> Dashboard:
    """All of it."""
    empty = board("line-overview", "Line overview", "Throughput, latency, the queue, the books and alerts of a line.")
    return _deliveries(_alerts(_queue(_latency(_throughput(_now(empty))))))


def _now(board: Dashboard) -> Dashboard:
    inspected = f'max by (line, camera, verdict) (increase(line_frames_total{{{LINE}, verdict=~"OK|NG"}}[15m]))'
    bad = f'max by (line, camera) (increase(line_frames_total{{{LINE}, verdict="NG"}}[15m]))'
    return (
        board.with_row(Row("Now"))
        .with_panel(figure("Verdicts", "Verdicts a second, of all cameras.", f"sum({VERDICTS})", unit=FRAMES_PER_S))
        .with_panel(
            figure(
                "NG share",
                "NG among the OK and NG of the last 15 minutes.",
                f"(sum({bad}) or vector(0)) / sum({inspected})",
                unit="percentunit",
            )
        )
        .with_panel(
            figure(
                "Latency p99",
                "One frame in a hundred waits longer for its verdict, from its entry into the stream.",
                f"histogram_quantile(0.99, sum by (le) (rate(line_latency_seconds_bucket{{{LINE}}}{RATE})))",
                unit="s",
            )
        )
        .with_panel(figure("Backlog", "Frames that wait or are in work.", f"sum({BACKLOG})", unit=FRAMES))
        .with_panel(
            figure(
                "Ledger difference",
                "Frames that came in and are nowhere. Anything but 0 is a fault.",
                f"sum(max by (line) (abs(line_ledger_difference{{{LINE}}})))",
                unit=FRAMES,
                steps=[(None, OK), (1, BAD)],
            )
        )
        .with_panel(
            figure(
                "Alerts open",
                "Alerts of the alert process that are raised and not cleared.",
                f"sum(max by (line, camera, kind) (line_alerts_open{{{LINE}}}))",
                unit="none",
                steps=[(None, OK), (1, WARN)],
            )
        )
        .with_panel(
            figure(
                "Workers up",
                "Worker processes that are ready and make progress.",
                f"sum(max by (line, worker, device) (line_worker_up{{{LINE}}}))",
                unit="none",
                steps=[(None, BAD), (1, OK)],
            )
        )
        .with_panel(
            figure(
                "Redis",
                "1 where every line's books can be read.",
                f"min(max by (line) (line_redis_up{{{LINE}}}))",
                unit="none",
                steps=[(None, BAD), (1, OK)],
            )
        )
    )


def _throughput(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Throughput"))
        .with_panel(
            curves(
                "Frames in and verdicts out",
                "Where more come in than go out, the backlog grows.",
                (f"max by (line) (rate(line_frames_produced_total{{{LINE}}}{RATE}))", "{{line}} in"),
                (f"sum by (line) ({VERDICTS})", "{{line}} out"),
                unit=FRAMES_PER_S,
            )
        )
        .with_panel(
            curves(
                "Verdicts",
                "By verdict. INVALID: the picture may not be trusted; LATE: past its deadline.",
                (f"sum by (verdict) ({VERDICTS})", "{{verdict}}"),
                unit=FRAMES_PER_S,
                stacked=True,
            )
        )
    )


def _latency(board: Dashboard) -> Dashboard:
    def quantile(share: float, by: str, metric: str) -> str:
        return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{{{LINE}}}{RATE})))"

    whole = [
        (quantile(share, "line", "line_latency_seconds"), f"{{{{line}}}} p{share * 100:g}")
        for share in (0.5, 0.95, 0.99)
    ]
    takt = (f"max by (line) (line_takt_seconds{{{LINE}}})", "{{line}} takt")
    return (
        board.with_row(Row("Latency"))
        .with_panel(
            curves(
                "From entry to verdict",
                "Quantiles, with the takt where takt_ms is set: a verdict later than that stops the line.",
                *whole,
                takt,
                unit="s",
                width=8,
            )
        )
        .with_panel(
            curves(
                "By stage, p95",
                "One frame in twenty takes longer in this stage. queue: before a worker took it; wait: for its batch.",
                (quantile(0.95, "stage", "line_stage_seconds"), "{{stage}}"),
                unit="s",
                width=8,
            )
        )
        .with_panel(
            curves(
                "Work in hand by stage",
                "Frames that are in this stage at a time, on average: where the time of all of them goes.",
                (f"sum by (stage) (rate(line_stage_seconds_sum{{{LINE}}}{RATE}))", "{{stage}}"),
                unit=FRAMES,
                width=8,
                stacked=True,
            )
        )
    )


def _queue(board: Dashboard) -> Dashboard:
    drops = f"max by (line, camera, reason) (increase(line_frames_dropped_total{{{LINE}}}{RATE}))"
    dead = f"max by (line, camera, reason) (increase(line_dead_letters_total{{{LINE}}}{RATE}))"
    return (
        board.with_row(Row("Queue and books"))
        .with_panel(
            curves(
                "Backlog",
                "Frames that wait or are in work, and what the queue takes (queue.max_frames).",
                (BACKLOG, "{{line}} waiting or in work"),
                (f"max by (line) (line_pending_frames{{{LINE}}})", "{{line}} in work"),
                (f"max by (line) (line_queue_limit_frames{{{LINE}}})", "{{line}} limit"),
                unit=FRAMES,
                width=8,
            )
        )
        .with_panel(
            curves(
                "Drops",
                "Frames that got no verdict because the queue was full or somebody deleted them.",
                (f"sum by (reason) ({drops})", "{{reason}}"),
                unit=FRAMES,
                width=8,
                stacked=True,
            )
        )
        .with_panel(
            curves(
                "Dead letters",
                "Frames that could not be inspected at all; `line-worker dead list` shows them.",
                (f"sum by (reason) ({dead})", "{{reason}}"),
                unit=FRAMES,
                width=8,
                stacked=True,
            )
        )
        .with_panel(
            curves(
                "Ledger difference",
                "Frames that came in and are nowhere.",
                (f"max by (line) (line_ledger_difference{{{LINE}}})", "{{line}}"),
                unit=FRAMES,
                least=None,
                width=8,
            )
        )
        .with_panel(
            curves(
                "Redis' memory",
                "All that it holds, pictures that wait among it, and its maxmemory (0: none).",
                (f"max by (line) (line_redis_memory_bytes{{{LINE}}})", "{{line}} in use"),
                (f"max by (line) (line_backlog_bytes{{{LINE}}})", "{{line}} pictures that wait"),
                (f"max by (line) (line_redis_memory_limit_bytes{{{LINE}}})", "{{line}} maxmemory"),
                unit="bytes",
                width=8,
            )
        )
        .with_panel(
            curves(
                "HTTP service",
                "Requests by status; 429 and 503 ask the client to come again.",
                (f"sum by (path, status) (rate(line_gateway_requests_total{{{LINE}}}{RATE}))", "{{path}} {{status}}"),
                unit="reqps",
                width=8,
            )
        )
    )


def _alerts(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Alerts"))
        .with_panel(
            curves(
                "Open",
                "Alerts of the alert process that are raised and not cleared, by kind.",
                (f"sum by (kind) (max by (line, camera, kind) (line_alerts_open{{{LINE}}}))", "{{kind}}"),
                unit="none",
                width=8,
                stacked=True,
            )
        )
        .with_panel(
            curves(
                "Events",
                "What the alert process told: raised, updated, cleared.",
                (f"sum by (kind, state) (increase(line_alerts_total{{{LINE}}}{RATE}))", "{{kind}} {{state}}"),
                unit="none",
                width=8,
            )
        )
        .with_panel(
            listing(
                "Firing in Prometheus",
                "Alerts of Prometheus' own rules; deploy/docs/operate.md has a runbook for each.",
                'max by (alertname, severity, line, camera, worker) (ALERTS{alertstate="firing", line=~"$line|"})',
                width=8,
                values=False,
            )
        )
    )


def _deliveries(board: Dashboard) -> Dashboard:
    handed = f"sum by (sink, outcome) (increase(line_alert_deliveries_total{{{LINE}}}{RATE}))"
    kept = f"sum by (verdict) (rate(line_evidence_written_total{{{LINE}}}{RATE}))"
    lost = f"sum by (reason) (rate(line_evidence_dropped_total{{{LINE}}}{RATE}))"
    return (
        board.with_row(Row("Deliveries and evidence"))
        .with_panel(
            curves(
                "Deliveries",
                "Alert events handed to each sink, by outcome; what failed is tried again.",
                (handed, "{{sink}} {{outcome}}"),
                unit="none",
                width=6,
            )
        )
        .with_panel(
            curves(
                "Outbox: time",
                "How long the oldest alert event has waited for each sink. What a sink does not take is kept for it.",
                (f"max by (line, sink) (line_outbox_lag_seconds{{{LINE}}})", "{{line}} {{sink}}"),
                unit="s",
                width=6,
            )
        )
        .with_panel(
            curves(
                "Outbox: events",
                "Alert events that wait for each sink, and those that reached nobody by it and are kept aside.",
                (f"max by (line, sink) (line_outbox_events{{{LINE}}})", "{{line}} {{sink}} waiting"),
                (f"max by (line, sink) (line_outbox_dead_letters{{{LINE}}})", "{{line}} {{sink}} dead"),
                unit="none",
                width=6,
            )
        )
        .with_panel(
            curves(
                "Evidence",
                "Pictures that were kept, by verdict, and that should have been and were not, by reason.",
                (kept, "{{verdict}} kept"),
                (lost, "lost: {{reason}}"),
                unit="suffix: pictures/s",
                width=6,
            )
        )
    )
