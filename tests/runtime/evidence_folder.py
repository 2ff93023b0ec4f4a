"""What a test finds in a folder of evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worker.types import Result, Verdict

KEPT = {Verdict.NG, Verdict.INVALID, Verdict.LATE}


def evidence(folder: Path) -> dict[str, dict[str, Any]]:
    """What is kept, by frame; no frame twice, and every file that a record tells of is there."""
    found: dict[str, dict[str, Any]] = {}
    for path in folder.rglob("*.json"):
        text = json.loads(path.read_text())
        for ending, size in text["files"].items():
            assert path.with_name(f"{path.stem}.{ending}").stat().st_size == size
        assert text["frame"] not in found
        found[text["frame"]] = text | {"path": path}
    return found


def told(folder: Path) -> dict[str, str]:
    return {frame: text["verdict"] for frame, text in evidence(folder).items()}


def wanted(results: list[Result], verdicts: set[Verdict]) -> dict[str, str]:
    return {result.frame: result.verdict.value for result in results if result.verdict in verdicts}
