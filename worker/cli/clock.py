"""Times of the line for people."""

from __future__ import annotations

from datetime import datetime, tzinfo


def format_time(unix_ns: int, form: str, zone: tzinfo | None = None) -> str:
    """The time by `strftime`'s form, in this zone (None: the machine's), but `%f` is milliseconds.

    The number itself where no calendar has it: anyone may write an entry.
    """
    try:
        at = datetime.fromtimestamp(unix_ns / 1e9, zone)
    except (ValueError, OverflowError, OSError):
        return str(unix_ns)
    return at.strftime(form.replace("%f", f"{at.microsecond // 1_000:03}"))
