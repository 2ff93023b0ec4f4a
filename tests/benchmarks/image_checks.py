"""What the image checks cost, and what follows the model: microseconds a picture, beside those of decoding it.

    .venv/bin/python tests/benchmarks/image_checks.py

One thread; a figure is the median of its runs, in CPU time. The pictures are generated parts as JPEGs, the maps are
256×256. The look for frozen cameras is one call for a batch of eight, at a Redis on this machine, with the waiting for
it. Exits with 1 where the checks cost 1 ms a megapixel, or a smaller picture.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from worker.capture.generated import GOOD, GeneratedLine
from worker.demo import MODEL
from worker.inference.bundle import load_bundle
from worker.inference.decode import decode
from worker.inference.headers import read_header
from worker.inference.health import ImageChecks, picture_digest
from worker.inference.postprocess import encode_label_map, postprocess
from worker.settings import LimitSettings, WatchSettings, load
from worker.stream.connection import connect
from worker.stream.embedded import EmbeddedRedis
from worker.stream.frozen import FrozenCameras, Shown
from worker.stream.keys import LineKeys
from worker.types import Encoding, Frame, Image

SIZES = ((256, 256), (1024, 1024), (2448, 2048))
MAP_SIDE = 256
BATCH = 8
RUNS = 60


def main() -> None:
    cv2.setNumThreads(1)
    print(f"{'':<28}" + "".join(f"{f'{width}×{height}':>14}" for width, height in SIZES) + "   µs")
    columns = [costs(picture(*size)) for size in SIZES]
    for name in columns[0]:
        print(f"{name:<28}" + "".join(f"{column[name]:>14.0f}" for column in columns))
    checks = [column["size, dark, white, blurred"] + column["frozen: digest"] for column in columns]
    # What is sampled costs the same for every size, so that a small picture counts as a megapixel.
    a_megapixel = [cost / max(1, width * height / 1e6) for cost, (width, height) in zip(checks, SIZES, strict=True)]
    shares = [cost / column["decoding"] for cost, column in zip(checks, columns, strict=True)]
    print(f"{'all, a megapixel':<28}" + "".join(f"{cost:>14.0f}" for cost in a_megapixel))
    print(f"{'all, against decoding':<28}" + "".join(f"{share:>14.1%}" for share in shares))
    print("\n".join(f"{name:<28}{cost:>14.0f}" for name, cost in map_costs().items()))
    look = look_cost()
    print(f"{'frozen: the look, a batch':<28}{look:>14.0f}\n{'frozen: the look, a frame':<28}{look / BATCH:>14.0f}")
    sys.exit(0 if max(a_megapixel) < 1_000 else 1)


def picture(width: int, height: int) -> Image:
    part = GeneratedLine(1, size=max(width, height)).render(0, GOOD).image
    return part[:height, :width].copy()


def costs(image: Image) -> dict[str, float]:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    frame, limits = Frame("c1", data), LimitSettings()
    checks = ImageChecks(WatchSettings(size=f"{image.shape[1]}x{image.shape[0]}"), load_bundle(MODEL).image_statistics)
    return {
        "decoding": microseconds(lambda: decode(frame, limits)),
        "its header alone": microseconds(lambda: read_header(data, Encoding.JPEG)),
        "size, dark, white, blurred": microseconds(lambda: checks.problem(image)),
        "frozen: digest": microseconds(lambda: picture_digest(image)),
    }


def map_costs() -> dict[str, float]:
    """Of a map of noise, smooth over some pixels as the model's are, that is all right or has one anomaly."""
    noise = np.random.default_rng(1).random((MAP_SIDE, MAP_SIDE), np.float32)
    good = cv2.GaussianBlur(noise, (0, 0), 4)
    bad = cv2.circle(good.copy(), (90, 120), 20, 2.0, -1)
    costs = {}
    for name, anomaly_map in (("good", good), ("bad", bad)):
        label_map = postprocess(anomaly_map, 1.0, SIZES[0]).label_map
        costs[f"{name} map: score, labelMap"] = microseconds(lambda one=anomaly_map: postprocess(one, 1.0, SIZES[0]))
        costs[f"{name} map: PNG"] = microseconds(lambda one=label_map: encode_label_map(one))
    return costs


def look_cost() -> float:
    """Microseconds of one call for a batch of frames, with a script that the server has."""
    with EmbeddedRedis() as server:
        cameras = FrozenCameras(connect(load({"redis.url": server.url})[0]), LineKeys("bench"), 25)
        number = iter(range(10**9))

        def look() -> None:
            cameras.frozen(
                [Shown(f"1-{one}", f"c{one % 4}", f"{one:016x}") for one in (next(number) for _ in range(BATCH))]
            )

        return microseconds(look, runs=1_000, clock=time.perf_counter)


def microseconds(call: Callable[[], Any], runs: int = RUNS, clock: Callable[[], float] = time.thread_time) -> float:
    call()
    times = []
    for _ in range(runs):
        started = clock()
        call()
        times.append(clock() - started)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    main()
