"""What people order of the alert process: to acknowledge an alert, to shelve alerts for a time, to end that."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from worker.settings.listed import NAME
from worker.types import AlertKind

SHELF_S = 8 * 3_600
"""How long alerts are shelved unless told otherwise: a shift."""

MOST_SHELF_S = 7 * 24 * 3_600
MOST_ALERT_ID = 512


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("only printable characters are allowed")
    return value


By = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Note = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
AlertId = Annotated[str, Field(min_length=1, max_length=MOST_ALERT_ID)]
Camera = Annotated[str, Field(pattern=NAME)]
Seconds = Annotated[int, Field(ge=1, le=MOST_SHELF_S)]


class Scope(BaseModel):
    """Which alerts are meant: those of a camera (empty: of all and of the line) and of a kind (empty: of all)."""

    # A field that is not known is an error: a camera that is misspelt must not shelve the whole line.
    model_config = ConfigDict(frozen=True, extra="forbid")

    camera: Camera | Literal[""] = ""
    kind: AlertKind | Literal[""] = ""

    def covers(self, camera: str, kind: AlertKind) -> bool:
        """Whether an alert of this camera (empty: the line's) and kind is among them."""
        return self.camera in ("", camera) and self.kind in ("", kind)

    def same(self, other: Scope) -> bool:
        """Whether exactly the same are meant."""
        return (self.camera, self.kind) == (other.camera, other.kind)

    def __str__(self) -> str:
        of_kind = f"{self.kind} alerts" if self.kind else "alerts"
        return f"{of_kind} of {self.camera}" if self.camera else f"all {of_kind}"


class Acknowledge(BaseModel):
    """Somebody has this alert in hand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: Literal["acknowledge"] = "acknowledge"
    alert_id: AlertId
    by: By
    note: Note = ""


class Shelve(Scope):
    """These alerts go to no sink for `seconds`, counted from when the order was given."""

    order: Literal["shelve"] = "shelve"
    seconds: Seconds = SHELF_S
    by: By
    note: Note = ""


class Unshelve(Scope):
    """The shelf that was made for exactly these alerts ends now."""

    order: Literal["unshelve"] = "unshelve"
    by: By


Order = Acknowledge | Shelve | Unshelve

_orders: TypeAdapter[Order] = TypeAdapter(Annotated[Order, Field(discriminator="order")])


def parse_order(fields: dict[str, Any]) -> Order:
    """The order that these fields are; numbers may be text.

    Raises:
        ValueError: a field is missing, wrong or not known.
    """
    return _orders.validate_python(fields)
