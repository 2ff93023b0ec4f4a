"""What requests and answers below `/alerts` hold. Times are unix nanoseconds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from worker.gateway.document.schemas import LogId, whole
from worker.orders import MOST_SHELF_S, SHELF_S, AlertId, By, Camera, Note
from worker.types import AlertKind, AlertState, Severity

MOST_EVENTS = 1_000

_Seconds = Annotated[int, Field(strict=True, ge=1, le=MOST_SHELF_S), BeforeValidator(whole)]
# Written out: a reference in a request's schema would lead nowhere in the document.
_Kind = Annotated[AlertKind, WithJsonSchema({"type": "string", "enum": list(AlertKind)})]
_All = Annotated[bool, Field(strict=True)]


class Meant(BaseModel):
    """Which alerts are meant: `camera`, `kind` or both, or `all`. Null is the same as left out.

    A field that is not known is refused: one that is misspelt must not mean the whole line.
    """

    model_config = ConfigDict(extra="forbid")

    camera: Camera | None = Field(None, description="Those of this camera.")
    kind: _Kind | None = Field(None, description="Those of this kind.")
    all: _All | None = Field(None, description="All of the line.")
    by: By | None = Field(
        None, description="Who gives the order, printable characters. Default: the key's name, else the address."
    )
    logId: LogId | None = Field(None, description="Comes back in the answer.")  # noqa: N815 - as on the wire


class AcknowledgeRequest(Meant):
    """One alert, or those that are meant and open now."""

    alertId: AlertId | None = Field(None, description="An open alert.")  # noqa: N815
    note: Note | None = Field(None, description="What others should know, printable characters.")


class ShelveRequest(Meant):
    """Alerts to put aside for a time."""

    seconds: _Seconds | None = Field(None, description=f"How long; default {SHELF_S}.")
    note: Note | None = Field(None, description="What others should know, printable characters.")


class UnshelveRequest(Meant):
    """A shelf, named just as it was made; `all` ends every shelf."""


class Ordered(BaseModel):
    """What became of the orders."""

    orders: int = Field(description="How many were given; 0 where all that is meant was acknowledged before.")
    carriedOut: bool = Field(  # noqa: N815
        description="Whether the alert process has carried them out. If not, they wait until it is there."
    )


class OrderedResponse(BaseModel):
    """Orders were given."""

    logId: str  # noqa: N815
    errorCode: Literal[0] = 0  # noqa: N815
    errorMsg: Literal["Success"] = "Success"  # noqa: N815
    result: Ordered


class ShownAlert(BaseModel):
    """An alert that is open."""

    alertId: str  # noqa: N815
    camera: str = Field(description="Empty for the line as a whole.")
    kind: AlertKind
    severity: Severity
    openedAt: int  # noqa: N815
    count: int = Field(description="Bad results while it is open.")
    message: str
    acknowledgedAt: int = Field(description="0: nobody has it in hand.")  # noqa: N815
    acknowledgedBy: str  # noqa: N815
    note: str
    shelvedUntil: int = Field(description="0: it is on no shelf.")  # noqa: N815


class ShownShelf(BaseModel):
    """Alerts that are put aside."""

    camera: str = Field(description="Empty: of all cameras and of the line.")
    kind: AlertKind | Literal[""] = Field(description="Empty: of all kinds.")
    since: int
    until: int
    by: str
    note: str


class ShownOverview(BaseModel):
    """The open alerts, oldest first, and the shelves."""

    at: int
    alerts: list[ShownAlert]
    shelves: list[ShownShelf]


class OverviewResponse(BaseModel):
    """What is open now."""

    logId: str  # noqa: N815
    errorCode: Literal[0] = 0  # noqa: N815
    errorMsg: Literal["Success"] = "Success"  # noqa: N815
    result: ShownOverview


class ShownEvent(BaseModel):
    """An event in the life of an alert, as it stands on the alerts stream."""

    id: str
    alertId: str  # noqa: N815
    camera: str
    kind: AlertKind
    state: AlertState
    severity: Severity
    openedAt: int  # noqa: N815
    at: int
    frame: str
    score: float | None
    count: int
    message: str
    model: str
    by: str = Field(description="Who acknowledged it, on that event.")
    note: str
    shelved: bool = Field(description="Nobody was told of it.")


class ShownEvents(BaseModel):
    """Oldest first."""

    events: list[ShownEvent]


class EventsResponse(BaseModel):
    """The newest events."""

    logId: str  # noqa: N815
    errorCode: Literal[0] = 0  # noqa: N815
    errorMsg: Literal["Success"] = "Success"  # noqa: N815
    result: ShownEvents
