"""The history of a model's versions, as `bundle.json` keeps it: each entry names the one before it, as git's do.

An entry's `id` is the sha256 of all else that it says, so that no entry can be altered, left out or put in between
without the rest showing it. It guards against accidents and edits by hand, not against somebody who recomputes all ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from worker.settings.sections import Name

TRAINED, CALIBRATED, OPTIMISED = "train", "calibrate", "optimize"
ADOPTED = "adopt"
"""A model that was there before it had a history: what is known of it begins the history."""

Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]
CameraThresholds = dict[Name, Threshold]


class Entry(BaseModel):
    """What was done to a model, and what it was then. Fields of later versions are kept, or its id would not fit.

    `digest` is `files_digest` of the model's files, `parent` the id of the entry before, empty in the first one.
    `data_digest` says of what data it was done, `created` when (ISO 8601, UTC).
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    version: str
    created: str
    action: str
    digest: str
    parent: str = ""
    threshold: Threshold
    camera_thresholds: CameraThresholds = {}
    data_digest: str = ""
    note: str = ""
    id: str = ""

    def right_id(self) -> str:
        """The id that this entry should have."""
        text = json.dumps(self.model_dump(exclude={"id"}), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def appended(
    history: Sequence[Entry],
    *,
    action: str,
    version: str,
    digest: str,
    threshold: float,
    camera_thresholds: Mapping[str, float] | None = None,
    data_digest: str = "",
    note: str = "",
) -> list[Entry]:
    """The history and, behind it, an entry for what was done just now."""
    entry = Entry(
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        action=action,
        digest=digest,
        parent=history[-1].id if history else "",
        threshold=threshold,
        camera_thresholds=dict(camera_thresholds or {}),
        data_digest=data_digest,
        note=note,
    )
    return [*history, entry.model_copy(update={"id": entry.right_id()})]


def problem(history: Sequence[Entry]) -> str:
    """What is wrong with the entries, or with their order; empty where nothing is."""
    before = ""
    for number, entry in enumerate(history, start=1):
        which = f"entry {number} of the history (version {entry.version}, {entry.action})"
        if entry.id != entry.right_id():
            return f"{which} was altered"
        if entry.parent != before:
            return f"{which} does not follow the one before it"
        before = entry.id
    return ""


def files_digest(sha256: Mapping[str, str]) -> str:
    """One digest for a model's files, from each one's name and sha256."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sha256.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
