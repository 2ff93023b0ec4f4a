"""How much of a worker's speed do clients get over HTTP, and how does that compare with PaddleX's service?

    .venv/bin/python tests/benchmarks/http_service.py --model MODEL --images GOOD --variants paddle:fp32,auto \\
        --paddlex /tmp/paddlex/bin/python

In one run, round after round: the worker alone, with a camera that keeps its queue filled; the gateway on the same
line and worker with 16 clients at once; PaddleX's own service with the same model, clients and pictures. All on this
machine, clients included. Both services answer as by default, with the mask as a picture.
`tests/paddlex/environment.sh` makes PaddleX's environment.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from http_load import Load, put_load

from worker.bench.frames import parse_shapes, read_frames, write_frames
from worker.bench.line import Line, open_line
from worker.bench.variants import AUTO, Variant, parse_variants
from worker.demo.observer import percentile
from worker.demo.run import free_port
from worker.inference.bundle import load_bundle
from worker.inference.engines import ENGINES, PRECISIONS
from worker.settings import LimitSettings, load

READY_S = 120.0
ANY_VARIANT = {Variant(engine, precision) for engine in ENGINES for precision in PRECISIONS}


def main() -> None:
    options = read_options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="line-worker-http-")))
        shape = parse_shapes(options.shape, load_bundle(options.model).transforms.size)
        write_frames(folder / "frames", shape, options.images, options.pictures, LimitSettings())
        pictures = [frame.data for frame in read_frames(folder / "frames", options.shape)]
        paddlex = stack.enter_context(paddlex_service(options, folder)) if options.paddlex else None
        report = [measure(options, variant, folder, pictures, paddlex) for variant in parse_variants(options.variants)]
    print(json.dumps(report, indent=2))
    if options.report:
        options.report.write_text(json.dumps(report, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--images", type=Path, help="good parts (default: generated ones)")
    parser.add_argument("--pictures", type=int, default=48, help="that are sent over and over (default: 48)")
    parser.add_argument("--shape", default="1024", help="of the pictures: a side in pixels, or model (default: 1024)")
    parser.add_argument("--variants", default="paddle:fp32,auto", help="engines (default: paddle:fp32,auto)")
    parser.add_argument("--clients", type=int, default=16, help="at once (default: 16)")
    parser.add_argument("--seconds", type=float, default=6.0, help="a measurement (default: 6)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--paddlex", type=Path, help="the Python of PaddleX's environment")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    return parser.parse_args()


def measure(
    options: argparse.Namespace, variant: Variant, folder: Path, pictures: list[bytes], paddlex: int | None
) -> dict[str, Any]:
    """A variant's figures: medians over the rounds, and the median of each round's ratio."""
    scratch = Path(tempfile.mkdtemp(dir=folder))
    port = free_port(8080)
    flags = {"model": str(options.model.resolve()), "gateway.port": port, **variant.flags}
    rounds = []
    with open_line(lambda given: load(given)[0], flags, folder / "frames", scratch, threading.Event()) as line:
        line.start(options.shape, {variant} if variant != AUTO else ANY_VARIANT)
        line.run_beside("serve")
        wait_for(port, "/ready")
        put_load(port, pictures, options.clients, 2.0)
        rate = line.measure(options.shape, 2.0, 30.0).fps
        for _ in range(options.rounds):
            rounds.append(one_round(options, line, port, pictures, paddlex, rate))
    return {"variant": str(variant), "clients": options.clients, "rounds": len(rounds), **summary(rounds)}


def one_round(
    options: argparse.Namespace, line: Line, port: int, pictures: list[bytes], paddlex: int | None, rate: float
) -> dict[str, Any]:
    flow = line.measure(options.shape, options.seconds, rate)
    found: dict[str, Any] = {"worker_fps": flow.fps, "others_share": flow.others_share}
    ours = put_load(port, pictures, options.clients, options.seconds)
    found |= named("http", ours) | {"ratio_to_worker": ours.fps / flow.fps}
    if paddlex is not None:
        theirs = put_load(paddlex, pictures, options.clients, options.seconds)
        found |= named("paddlex", theirs) | {"ratio_to_paddlex": ours.fps / theirs.fps}
    return found


def named(name: str, load: Load) -> dict[str, float]:
    p50, p99 = (percentile(load.latencies_ms, share) for share in (0.5, 0.99))
    return {f"{name}_fps": load.fps, f"{name}_p50_ms": p50, f"{name}_p99_ms": p99}


def summary(rounds: list[dict[str, Any]]) -> dict[str, float]:
    return {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]}


@contextmanager
def paddlex_service(options: argparse.Namespace, folder: Path) -> Iterator[int]:
    """PaddleX's service as its command starts it; the port."""
    port = free_port(8081)
    model = {"module_name": "anomaly_detection", "model_name": "STFPM", "model_dir": str(options.model.resolve())}
    config = {"pipeline_name": "anomaly_detection", "SubModules": {"AnomalyDetection": {**model, "batch_size": 1}}}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(config))
    command = [options.paddlex.with_name("paddlex"), "--serve", "--pipeline", folder / "pipeline.yaml"]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "1"}
    with (folder / "paddlex.log").open("wb") as log:
        service = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(port, "/health")
        yield port
    finally:
        service.terminate()
        service.wait(20)


def wait_for(port: int, path: str) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer from port {port}: {error}") from error
            time.sleep(0.2)


if __name__ == "__main__":
    main()
