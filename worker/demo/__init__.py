"""`line-worker demo`: the whole system on one machine, from the real commands, with parts whose truth is known."""

from pathlib import Path

MODEL = Path(__file__).with_name("model")
"""The bundle that ships with the project; `make_model.py` makes it."""
