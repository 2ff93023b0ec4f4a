"""What makes a frame INVALID before the model sees it: a section of the settings."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, field_validator

from worker.settings.section import Section

AUTO: Final = "auto"
OFF: Final = "off"


def _limit(value: Any) -> Any:
    """`off` comes as False from YAML and as text from the environment; both are 0."""
    if value == AUTO:
        return AUTO
    try:
        number = 0.0 if value in (False, OFF) else float("nan" if value is True else value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError("must be auto, off or a number from 0 to 1")
    return number


Limit = Annotated[float | Literal["auto"], BeforeValidator(_limit)]
"""`auto`: from what the model's bundle says of the good photographs; 0 or `off`: not checked."""


class WatchSettings(Section):
    """Frames that may not be trusted get INVALID with the reason; each check can be switched off."""

    dark: Limit = Field(AUTO, description="INVALID where the 99.5th percentile of brightness (0 to 1) is below; 0: off")
    blown_out: Limit = Field(AUTO, description="INVALID where a larger share (0 to 1) of the pixels is white; 0: off")
    blurred: Limit = Field(AUTO, description="INVALID where the sharpness (0 to 1) is below; 0: off")
    size: str = Field(AUTO, description="auto: the good photographs' shape; WIDTHxHEIGHT: exactly this; or off")
    frozen_after: int = Field(
        25, ge=0, le=1_000, description="INVALID from so many frames in a row with the very same pixels on; 0: off"
    )

    @field_validator("size", mode="before")
    @classmethod
    def _known_size(cls, value: Any) -> str:
        text = OFF if value in (False, 0, "0") else str(value)
        if text not in (AUTO, OFF) and not re.fullmatch(r"[1-9][0-9]{0,5}x[1-9][0-9]{0,5}", text):
            raise ValueError("must be auto, off or WIDTHxHEIGHT, as in 1920x1080")
        return text

    @field_validator("frozen_after", mode="before")
    @classmethod
    def _off_is_none(cls, value: Any) -> Any:
        return 0 if value in (False, OFF) else value

    @field_validator("frozen_after")
    @classmethod
    def _takes_two(cls, value: int) -> int:
        if value == 1:
            raise ValueError("must be 0 (off) or at least 2: one frame alone is like no other")
        return value

    @property
    def exact_size(self) -> tuple[int, int] | None:
        """The (width, height) demanded, or None."""
        if self.size in (AUTO, OFF):
            return None
        width, _, height = self.size.partition("x")
        return int(width), int(height)
