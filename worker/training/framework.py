"""Paddle, imported once for all of training/, without its warning that ccache is missing."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the import warns of compilers that nobody here uses
    import paddle
    import paddle.nn.functional as F  # noqa: N812  (the name that everyone knows it by)
    from paddle import nn

__all__ = ["F", "nn", "paddle"]
