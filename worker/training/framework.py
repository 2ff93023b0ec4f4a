"""Paddle, imported once for all of training/, without what it says on standard error that nobody can act on."""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("GLOG_minloglevel", "2")  # errors only; paddle reads it once, when it is imported

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the import warns of compilers that nobody here uses
    import paddle
    import paddle.nn.functional as F  # noqa: N812  (the name that everyone knows it by)
    from paddle import nn

__all__ = ["F", "nn", "paddle"]
