"""Evidence: a section of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from worker.settings.section import Section


class EvidenceSettings(Section):
    """The pictures behind the verdicts, in a folder, within limits; the oldest go first."""

    folder: Path | None = Field(
        None, description="where frames that are NG, INVALID or LATE are kept with their results; none: nowhere"
    )
    ok_share: float = Field(0.0, ge=0, le=1, description="share of the OK frames that are kept too")
    queue_frames: int = Field(64, ge=1, le=10_000, description="frames a worker that wait to be written at most")
    queue_bytes: int = Field(64 * 2**20, ge=2**20, description="their bytes at most; what comes then is not kept")
    keep_days: int = Field(30, ge=0, description="days that evidence is kept, beside the current one; 0: no limit")
    max_bytes: int = Field(10 * 2**30, ge=0, description="bytes of a line's evidence in the folder; 0: no limit")
    min_free_bytes: int = Field(
        2**30,
        ge=0,
        description="free bytes of the disk for which the oldest goes; below half none is written; 0: off",
    )
