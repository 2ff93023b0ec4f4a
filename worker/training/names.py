"""File names as people are told them: they are anybody's, and need not even be text."""

from __future__ import annotations

from pathlib import Path


def is_text(path: Path) -> bool:
    """Whether the name is UTF-8, as every file that names it has to be."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """The text with what a terminal or a browser would act on, and what is not Unicode, escaped."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
