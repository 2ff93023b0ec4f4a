"""Measures one variant: rounds in which engine, limit, pipeline and PaddleX take turns, then latencies over load."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.bench.crew import Crew, PaddleX, open_crew, open_paddlex
from worker.bench.flow import Flow
from worker.bench.frames import Shape
from worker.bench.line import Line, Load, open_line
from worker.bench.usage import cpu_model
from worker.bench.variants import Variant
from worker.demo.observer import percentile
from worker.errors import LineError

Row = dict[str, Any]
_LOAD_WINDOWS = 4  # a load is looked at this many times as long: p99 takes frames


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: `seconds` a measurement, `loads` in percent of the pipeline's rate. `flags` are the settings
    that the benchmark decides; `frames` holds a folder of JPEG files for each shape; `folder` takes logs."""

    load: Load
    flags: dict[str, Any]
    model: Path
    shapes: list[Shape]
    frames: Path
    folder: Path
    seconds: float
    rounds: int
    loads: list[int]
    paddlex: Path | None
    stop: threading.Event
    tell: Callable[[str], None]


@dataclass(slots=True)
class Turns:
    """What the rounds gave: frames a second of each round. `flows` are the pipeline's."""

    engine: list[float]
    limit: list[float]
    flows: list[Flow]
    paddlex: list[float]


@dataclass(frozen=True, slots=True)
class Found:
    """A variant's rows, one a shape of frames; the versions of what ran it; what there was to choose from, each with an
    engine, a precision, and why it was refused, if it was."""

    chosen: Variant
    rows: list[Row]
    versions: dict[str, str]
    candidates: list[Row]


def measure(plan: Plan, variant: Variant, paddlex_fps: float | None, *, is_main: bool, known: set[Variant]) -> Found:
    """All figures of a variant; no rows where what it chose is `known`.

    Args:
        paddlex_fps: what was measured beside the main variant; only that one measures it.
        is_main: latencies over load are its alone.

    Raises:
        LineError: this variant is not to be had here, or a process ended.
    """
    wanted = plan.flags | variant.flags
    first = plan.shapes[0].name
    with ExitStack() as stack:
        plan.tell(f"{variant}: loading")
        crew = stack.enter_context(open_crew(plan.load(wanted), plan.frames, plan.folder, plan.stop))
        if crew.chosen in known:
            return Found(crew.chosen, [], {}, crew.candidates)
        python = plan.paddlex if is_main else None
        paddlex = stack.enter_context(open_paddlex(python, plan.model, plan.frames / first, plan.folder, plan.stop))
        line = stack.enter_context(open_line(plan.load, wanted, plan.frames, plan.folder, plan.stop))
        start = line.start(first, crew.all_chosen)
        plan.tell(
            f"{crew.chosen}: ready after {start['ready']:.1f} s, first verdict after {start['first_verdict']:.1f} s"
        )
        turns = _take_turns(plan, crew, line, paddlex)
        if paddlex is not None:
            paddlex_fps = statistics.median(turns[first].paddlex)
        rows = [_row(crew.chosen, name, one, paddlex_fps if name == first else None) for name, one in turns.items()]
        if is_main:
            rows[0]["latency_ms"] = _latencies(plan, crew, line, rows[0])
        for row in rows:
            row |= {"rss_mb": line.memory(), "start_s": start}
        versions = {"redis": line.redis_version()} | crew.versions | (paddlex.versions if paddlex else {})
    return Found(crew.chosen, rows, versions, crew.candidates)


def _take_turns(plan: Plan, crew: Crew, line: Line, paddlex: PaddleX | None) -> dict[str, Turns]:
    """The rounds by the name of their frames' shape. The engine gets prepared frames, which have one shape only."""
    turns = {shape.name: Turns([], [], [], []) for shape in plan.shapes}
    for number in range(1, plan.rounds + 1):
        engine = crew.engine_fps(plan.seconds)
        for name, one in turns.items():
            one.engine.append(engine)
            one.limit.append(crew.limit_fps(name, plan.seconds))
            one.flows.append(line.measure(name, plan.seconds, engine))
            plan.tell(
                f"{crew.chosen} round {number} of {plan.rounds}, frames {name}: engine {engine:.1f}, "
                f"limit {one.limit[-1]:.1f}, pipeline {one.flows[-1].fps:.1f} frames/s"
            )
        if paddlex is not None:
            turns[plan.shapes[0].name].paddlex.append(paddlex.fps(plan.seconds))
            plan.tell(f"PaddleX: {turns[plan.shapes[0].name].paddlex[-1]:.1f} frames/s")
    return turns


def _row(chosen: Variant, shape: str, turns: Turns, paddlex_fps: float | None) -> Row:
    """The figures of one shape of frames: medians of the rounds, and their quotients."""
    engine, limit = (round(statistics.median(rates), 2) for rates in (turns.engine, turns.limit))
    pipeline = round(statistics.median(flow.fps for flow in turns.flows), 2)
    return {
        "engine": chosen.engine,
        "precision": chosen.precision,
        "frames": shape,
        "engine_fps": engine,
        "limit_fps": limit,
        "pipeline_fps": pipeline,
        "ratio_to_limit": round(pipeline / limit, 4),
        "ratio_to_engine": round(pipeline / engine, 4),
        "paddlex_fps": None if paddlex_fps is None else round(paddlex_fps, 2),
        "ratio_to_paddlex": None if paddlex_fps is None else round(pipeline / round(paddlex_fps, 2), 4),
        "latency_ms": None,
        # Without `queue`: at full load that is how long the benchmark's own queue is.
        "stages_ms": {
            name: ms for name, ms in _medians([flow.stages_ms for flow in turns.flows]).items() if name != "queue"
        },
        "cpu": {
            "ms_per_frame": _medians([flow.cpu_ms for flow in turns.flows]),
            "others_share": round(max(flow.others_share for flow in turns.flows), 3),
            "cores": len(os.sched_getaffinity(0)),
            "model": cpu_model(),
        },
        "rounds": {
            "engine_fps": [round(rate, 2) for rate in turns.engine],
            "limit_fps": [round(rate, 2) for rate in turns.limit],
            "pipeline_fps": [round(flow.fps, 2) for flow in turns.flows],
            "paddlex_fps": [round(rate, 2) for rate in turns.paddlex],
        },
        "camera_was_the_limit": any(flow.is_starved for flow in turns.flows),
    }


def _latencies(plan: Plan, crew: Crew, line: Line, row: Row) -> dict[str, Any]:
    """p50 and p99 from publish to verdict at shares of the pipeline's rate, and what to hold them against."""
    found: dict[str, Any] = {"engine_single": round(crew.single_ms(), 2)}
    curve = []
    for load in plan.loads:
        wanted = row["pipeline_fps"] * load / 100
        flow = line.measure(row["frames"], plan.seconds * _LOAD_WINDOWS, row["engine_fps"], wanted)
        if not flow.latencies_ms:
            raise LineError(f"no frame within the seconds measured at {load} % load: raise --seconds")
        both = {f"p{share}": round(percentile(flow.latencies_ms, share / 100), 1) for share in (50, 99)}
        found[f"load_{load}"] = both
        stages = {name: round(ms, 3) for name, ms in flow.stages_ms.items()}
        point = {"load": load, "fps_wanted": round(wanted, 2), "fps": round(flow.fps, 2)} | both
        curve.append(point | {"frames": len(flow.latencies_ms), "stages_ms": stages})
        plan.tell(f"{crew.chosen} at {load} % load: p50 {both['p50']:.0f} ms, p99 {both['p99']:.0f} ms")
    return found | {"curve": curve}


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
