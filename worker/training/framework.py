"""Paddle for all of training/, imported as the engine does it."""

from __future__ import annotations

from worker.inference.engines.paddle import paddle

F = paddle.nn.functional
nn = paddle.nn

__all__ = ["F", "nn", "paddle"]
