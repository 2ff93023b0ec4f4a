"""Figures and names as people read them."""

from __future__ import annotations

from pathlib import Path

from worker.training.evaluation.metrics import Interval, Share

UNKNOWN = "–"


def share_text(share: Share) -> str:
    """As in `2 of 60, 3.3 % (0.4 … 11.5)`."""
    return UNKNOWN if share.value is None else f"{share.count} of {share.of}, {percent_text(share)}"


def percent_text(share: Share) -> str:
    """As in `3.3 % (0.4 … 11.5)`, the interval in brackets."""
    if share.value is None:
        return UNKNOWN
    low, high = share.interval
    return f"{share.value * 100:.1f} % ({low * 100:.1f} … {high * 100:.1f})"


def short_percent_text(share: Share) -> str:
    """As in `3 % (0…12)`, for narrow columns."""
    if share.value is None:
        return UNKNOWN
    low, high = share.interval
    return f"{share.value * 100:.0f} % ({low * 100:.0f}…{high * 100:.0f})"


def interval_text(interval: Interval | None) -> str:
    """As in `0.772 (0.693 … 0.835)`."""
    return f"{interval.value:.3f} ({interval.low:.3f} … {interval.high:.3f})" if interval else UNKNOWN


def short_interval_text(interval: Interval | None) -> str:
    """As in `0.772 (0.69…0.84)`, for narrow columns."""
    return f"{interval.value:.3f} ({interval.low:.2f}…{interval.high:.2f})" if interval else UNKNOWN


def figure_text(value: float | None) -> str:
    """Three digits, or a dash for what is not known."""
    return UNKNOWN if value is None else f"{value:.3f}"


def name_of(path: Path, folder: Path) -> str:
    """An image's name below its data set."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
