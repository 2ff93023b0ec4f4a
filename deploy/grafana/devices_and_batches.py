"""The dashboard *Devices and batches*: how busy the devices are, what runs on them, and whether it keeps running."""

from __future__ import annotations

from board import LINE, board
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from panels import BAD, FRAMES, FRAMES_PER_S, OK, curves, listing, states, warmth

RATE = "[$__rate_interval]"
WORKER = "max by (line, worker, device)"


def dashboard() -> Dashboard:
    """All of it."""
    empty = board(
        "devices-and-batches",
        "Devices and batches",
        "How busy the devices are, how full their batches, what runs on them, restarts and failures.",
    )
    return _health(_engines(_batches(_devices(empty))))


def _devices(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Devices"))
        .with_panel(
            curves(
                "Busy share",
                "Share of the time that the device is at work. Near 1 while frames wait: more devices would help. Low "
                "while frames wait: decoding, Redis or the network holds them up.",
                (f"{WORKER} (line_device_busy_share{{{LINE}}})", "{{worker}}"),
                unit="percentunit",
                largest=1,
            )
        )
        .with_panel(
            states(
                "Workers",
                "Whether each worker is ready and makes progress.",
                f"{WORKER} (line_worker_up{{{LINE}}})",
                "{{worker}}",
                {"1": ("up", OK), "0": ("down", BAD)},
            )
        )
    )


def _batches(board: Dashboard) -> Dashboard:
    calls = f"rate(line_batch_size_count{{{LINE}}}{RATE})"
    frames = f"rate(line_batch_size_sum{{{LINE}}}{RATE})"
    busy = f"rate(line_device_busy_seconds_total{{{LINE}}}{RATE})"
    return (
        board.with_row(Row("Batches"))
        .with_panel(
            warmth(
                "Batch sizes",
                "Device calls by how many frames they had at most. Full batches are the most work a second.",
                f"sum by (le) (increase(line_batch_size_bucket{{{LINE}}}{RATE}))",
                unit="none",
            )
        )
        .with_panel(
            curves(
                "Frames a call",
                "The mean batch.",
                (f"sum by (line) ({frames}) / sum by (line) ({calls})", "{{line}}"),
                unit=FRAMES,
                width=6,
            )
        )
        .with_panel(
            curves(
                "Frames a second of device work",
                "What the devices would do if they were at work all the time.",
                (f"sum by (line) ({frames}) / sum by (line) ({busy})", "{{line}}"),
                unit=FRAMES_PER_S,
                width=6,
            )
        )
    )


def _engines(board: Dashboard) -> Dashboard:
    candidate = "max by (line, worker, engine, precision)"
    return (
        board.with_row(Row("Engines"))
        .with_panel(
            listing(
                "In force",
                "The model, engine and precision of each worker. All workers of a line should have one model.",
                f"max by (line, worker, device, model, digest, engine, precision) (line_model_info{{{LINE}}})",
                width=24,
                values=False,
            )
        )
        .with_panel(
            listing(
                "Looked at",
                "1: in force. 0: near enough to paddle's scores, but slower. -1: refused, failed or too far off.",
                f"{candidate} (line_engine_chosen{{{LINE}}})",
            )
        )
        .with_panel(
            listing(
                "Time a frame when it was chosen",
                "Milliseconds a frame in full batches, measured when the worker started.",
                f"{candidate} (line_engine_frame_ms{{{LINE}}})",
                unit="ms",
            )
        )
    )


def _health(board: Dashboard) -> Dashboard:
    restarts = f"max by (line, worker, device, reason) (increase(line_worker_restarts_total{{{LINE}}}{RATE}))"
    return (
        board.with_row(Row("Health"))
        .with_panel(
            curves(
                "Restarts",
                "Workers that died (crash) or were killed because they made no progress (hang).",
                (f"sum by (worker, reason) ({restarts})", "{{worker}} {{reason}}"),
                unit="none",
                width=8,
            )
        )
        .with_panel(
            curves(
                "Failed device calls",
                "Each batch that fails is tried again frame by frame.",
                (f"sum by (worker) (increase(line_device_failures_total{{{LINE}}}{RATE}))", "{{worker}}"),
                unit="none",
                width=8,
            )
        )
        .with_panel(
            curves(
                "Memory and evidence",
                "Memory in use of each worker and of the other processes; disk that evidence takes.",
                (f"{WORKER} (line_worker_resident_bytes{{{LINE}}})", "{{worker}}"),
                (f"sum by (line, job) (process_resident_memory_bytes{{{LINE}}})", "{{line}} {{job}}"),
                (f"max by (line, instance) (line_evidence_bytes{{{LINE}}})", "{{line}} evidence (disk)"),
                unit="bytes",
                width=8,
            )
        )
        .with_panel(
            curves(
                "Running since",
                "How long ago each process was started. A saw: it is started again and again.",
                (
                    f"time() - max by (line, job, instance) (process_start_time_seconds{{{LINE}}})",
                    "{{job}} {{instance}}",
                ),
                unit="s",
                width=24,
            )
        )
    )
