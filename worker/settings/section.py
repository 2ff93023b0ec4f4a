"""What every section of the settings is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings that cannot be changed, and takes no name that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)
