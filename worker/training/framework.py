"""Paddle for all of training/, imported as the engine does it."""

from __future__ import annotations

from worker.inference.engines.paddle import paddle

F = paddle.nn.functional
nn = paddle.nn

__all__ = ["F", "nn", "on_one_thread", "paddle"]


def on_one_thread() -> None:
    """With one thread paddle comes to the same numbers each time; with several now and then to others.

    Imported it has one, but a prediction leaves the process with as many as its device has.
    """
    paddle.base.core.set_num_threads(1)
