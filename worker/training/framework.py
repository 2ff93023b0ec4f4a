"""Paddle for all of training/, imported as the engine does it."""

from __future__ import annotations

import os

from worker.devices import Device, threads

# Importing paddle sets it to 1 where nothing is said. A worker's process is told how many it has; a fit has them all.
os.environ.setdefault("OMP_NUM_THREADS", str(threads(Device("cpu"))))

from worker.inference.engines.paddle import paddle

F = paddle.nn.functional
nn = paddle.nn

__all__ = ["F", "nn", "paddle"]
