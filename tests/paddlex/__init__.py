"""Checks against PaddleX itself, in an environment of its own; see tests/paddlex/environment.sh."""
