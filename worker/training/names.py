"""File names as people are told them: they are anybody's, and need not even be text."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with what a terminal or a browser would act on, and what is not Unicode, escaped."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
