"""The dashboard *Cameras and model*: what each camera's pictures look like to the model, and whether it still sees."""

from __future__ import annotations

from board import CAMERA, LINE, board
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from panels import BAD, FRAMES, OK, WARN, bars, curves, listing, warmth

RATE = "[$__rate_interval]"
VERDICTS = "max by (line, camera, verdict)"


def dashboard() -> Dashboard:
    """All of it."""
    empty = board(
        "cameras-and-model",
        "Cameras and model",
        "Scores against the threshold, verdicts by camera, image health and silence.",
    )
    return _sources(_health(_verdicts(_scores(empty))))


def _scores(board: Dashboard) -> Dashboard:
    buckets = f"line_score_ratio_bucket{{{CAMERA}}}{RATE}"

    def quantile(share: float) -> tuple[str, str]:
        legend = f"{{{{camera}}}} p{share * 100:g}"
        return f"histogram_quantile({share}, sum by (line, camera, le) (rate({buckets})))", legend

    return (
        board.with_row(Row("Scores"))
        .with_panel(
            warmth(
                "Score by threshold",
                "How the scores of all chosen cameras spread over time, as multiples of the threshold: what is above 1 "
                "is NG. Where the crowd of good parts creeps up to 1, a lamp, a lens or a process drifts: find out "
                "why, or calibrate, before good parts are rejected.",
                f"sum by (le) (increase({buckets}))",
                unit="none",
            )
        )
        .with_panel(
            curves(
                "Score by threshold, quantiles",
                "Half of a camera's frames, and all but one in twenty, score lower; at 1 begins NG.",
                quantile(0.5),
                quantile(0.95),
                unit="none",
                limit=1,
            )
        )
        .with_panel(
            curves(
                "Threshold",
                "The one in force for each camera.",
                (f"max by (line, camera) (line_threshold{{{CAMERA}}})", "{{camera}}"),
                unit="none",
            )
        )
        .with_panel(
            listing(
                "Model",
                "What is in force, and on how many workers; more than one row a line is a mix.",
                f"count by (line, model, digest) (max by (line, worker, model, digest) (line_model_info{{{LINE}}}))",
            )
        )
    )


def _verdicts(board: Dashboard) -> Dashboard:
    inspected = f'increase(line_frames_total{{{CAMERA}, verdict=~"OK|NG"}}[15m])'
    bad = f'increase(line_frames_total{{{CAMERA}, verdict="NG"}}[15m])'
    frames = f"rate(line_frames_total{{{CAMERA}}}{RATE})"
    of_camera = "sum by (line, camera)"
    all_of_them = f"{of_camera} ({VERDICTS} ({inspected}))"
    return (
        board.with_row(Row("Verdicts"))
        .with_panel(
            curves(
                "NG share",
                "NG among OK and NG, over 15 minutes.",
                # A camera without any NG has no such count: its share is 0.
                (f"(max by (line, camera) ({bad}) or 0 * {all_of_them}) / {all_of_them}", "{{camera}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            curves(
                "Share of each verdict",
                "INVALID: the picture may not be trusted; LATE: past its deadline. Neither says that the part is good.",
                (
                    f"{VERDICTS} ({frames}) / on (line, camera) group_left {of_camera} ({VERDICTS} ({frames}))",
                    "{{camera}} {{verdict}}",
                ),
                unit="percentunit",
                largest=1,
            )
        )
        .with_panel(
            curves(
                "Latency, p99",
                "One frame in a hundred of the camera waits longer for its verdict.",
                (
                    "histogram_quantile(0.99, sum by (line, camera, le) "
                    f"(rate(line_latency_seconds_bucket{{{CAMERA}}}{RATE})))",
                    "{{camera}}",
                ),
                unit="s",
                width=24,
            )
        )
    )


def _health(board: Dashboard) -> Dashboard:
    untrusted = f"sum by (line, camera, reason) (increase(line_invalid_frames_total{{{CAMERA}}}{RATE}))"
    dead = f"max by (line, camera, reason) (increase(line_dead_letters_total{{{CAMERA}}}{RATE}))"
    latest = f"max by (line, camera) (line_last_result_timestamp_seconds{{{CAMERA}}})"
    return (
        board.with_row(Row("Image health and silence"))
        .with_panel(
            curves(
                "Pictures that may not be trusted",
                "dark, blown_out, blurred, wrong_size, frozen: the verdict is INVALID; score_not_finite: the model "
                "gave no number.",
                (untrusted, "{{camera}} {{reason}}"),
                unit=FRAMES,
                width=8,
                stacked=True,
            )
        )
        .with_panel(
            curves(
                "Dead letters",
                "Frames of the camera that could not be inspected at all.",
                (dead, "{{camera}} {{reason}}"),
                unit=FRAMES,
                width=8,
                stacked=True,
            )
        )
        .with_panel(
            bars(
                "Silent for",
                "Time since the camera's latest verdict.",
                f"time() - {latest}",
                "{{camera}}",
                unit="s",
                steps=[(None, OK), (30, WARN), (120, BAD)],
                width=8,
            )
        )
    )


def _sources(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Sources"))
        .with_panel(
            curves(
                "Pictures from the sources",
                "What `produce` took from each camera, by what became of it.",
                (
                    f"sum by (camera, outcome) (rate(line_produced_frames_total{{{CAMERA}}}{RATE}))",
                    "{{camera}} {{outcome}}",
                ),
                unit="suffix: pictures/s",
            )
        )
        .with_panel(
            curves(
                "Outages",
                "Times that a camera went away and was waited for.",
                (f"sum by (camera) (increase(line_camera_outages_total{{{CAMERA}}}{RATE}))", "{{camera}}"),
                unit="none",
            )
        )
    )
