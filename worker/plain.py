"""Text from outside, fit for a terminal."""

from __future__ import annotations


def plain(text: str) -> str:
    """On one line, and without what steers a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
