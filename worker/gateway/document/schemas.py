"""What requests and answers hold, field by field: the ground of the OpenAPI document.

The names are PaddleX's where it has them. A request is checked just as the document says; an answer is written by
hand (`answer`), and tests hold it to its model here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import from_json

from worker.gateway.failures import Failure
from worker.settings.listed import NAME

_MAX_LOG_ID = 256
_MAX_PART_ID = 128
_MAX_DEADLINE_MS = 86_400_000
_FLAGS: dict[Any, bool] = {0: False, 1: True, "false": False, "true": True, "False": False, "True": True}
_MAX_TOLD = 1_000
_MOST_VALUES = (
    1_000  # a body of nothing but brackets would become a gigabyte of objects; Base64 has none of these marks
)

Asked = TypeVar("Asked", bound=BaseModel)


def _flag(value: Any) -> Any:
    """PaddleX takes a number or a word for a boolean too."""
    return _FLAGS.get(value, value) if isinstance(value, int | float | str) else value


def whole(value: Any) -> Any:
    """JSON has one kind of number: 5.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("only printable characters are allowed")
    return value


Flag = Annotated[
    bool,
    BeforeValidator(_flag),
    Field(strict=True),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"enum": list(_FLAGS)}]}),
]
Milliseconds = Annotated[int, Field(strict=True, ge=1, le=_MAX_DEADLINE_MS), BeforeValidator(whole)]
Camera = Annotated[str, Field(pattern=NAME)]
PartId = Annotated[str, Field(max_length=_MAX_PART_ID), AfterValidator(_printable)]
LogId = Annotated[str, Field(max_length=_MAX_LOG_ID)]


class InspectRequest(BaseModel):
    """A picture to inspect. Fields that are not known are ignored; null is the same as left out."""

    model_config = ConfigDict(extra="ignore")

    image: str = Field(
        description="The picture, JPEG, PNG, WebP or BMP: Base64 of the file, a data URL with it, or, where the "
        "service is set up for it, an http or https URL."
    )
    visualize: Flag | None = Field(
        None,
        description="Whether the answer has the mask as a picture, `result.image`. Default: the service's setting.",
    )
    camera: Camera | None = Field(
        None, description="Whose picture it is, as in results, alerts and metrics. Default: the service's setting."
    )
    partId: PartId | None = Field(  # noqa: N815 - as on the wire
        None, description="The part's number, printable characters; it stands on the result."
    )
    deadlineMs: Milliseconds | None = Field(  # noqa: N815
        None,
        description="Milliseconds from the request's arrival until a verdict is of no use: 504 from then on. The "
        "service's own limit counts where it is shorter.",
    )
    labelMapSize: Literal["model", "image"] | None = Field(  # noqa: N815
        None,
        description="Whether `labelMap` and `image` have the size of the model's input, the default and PaddleX's, or "
        "of the picture.",
    )
    labelMapEncoding: Literal["array", "png", "rle"] | None = Field(  # noqa: N815
        None, description="How `labelMap` is written; see there. Default: array, as PaddleX does."
    )
    logId: LogId | None = Field(None, description="Comes back in the answer.")  # noqa: N815


class Rle(BaseModel):
    """COCO's uncompressed run-length encoding, as `pycocotools.mask.frPyObjects` takes it."""

    size: tuple[int, int] = Field(description="[height, width]")
    counts: list[int] = Field(
        description="Lengths of alternating runs, column by column from the top left, the first of normal pixels: 0 "
        "where the first pixel is an anomaly."
    )


class Region(BaseModel):
    """One connected anomaly, in pixels of the picture."""

    x: int
    y: int
    w: int
    h: int
    area: int
    score: float


class InspectResult(BaseModel):
    """The verdict on a picture. `labelMap` has a pixel of 255 exactly where `verdict` is NG, exactly where `score` is
    above `threshold`."""

    labelMap: list[Literal[0, 255]] | str | Rle = Field(  # noqa: N815
        description="255 = anomaly, 0 = normal. array: all pixels row by row; png: Base64 of a single-channel PNG; "
        "rle: runs of pixels."
    )
    size: tuple[int, int] = Field(description="[height, width] of the labelMap.")
    image: str | None = Field(
        None, description="Base64 of a JPEG of the mask, coloured as PaddleX does; left out unless `visualize`."
    )
    score: float = Field(description="How far the picture is from good ones, by the model.")
    threshold: float = Field(description="Above it a picture is NG.")
    verdict: Literal["OK", "NG"]
    regions: list[Region] = Field(description="At most 64, the highest score first.")
    frame: str = Field(description="The frame's id on the line: it stands on its result, alerts and logs.")


class InspectResponse(BaseModel):
    """A verdict."""

    logId: str  # noqa: N815
    errorCode: Literal[0] = 0  # noqa: N815
    errorMsg: Literal["Success"] = "Success"  # noqa: N815
    result: InspectResult


class ErrorResponse(BaseModel):
    """There is no verdict."""

    logId: str = Field(description="The request's, or one made for it.")  # noqa: N815
    errorCode: int = Field(description="The HTTP status.")  # noqa: N815
    errorMsg: str = Field(description="What is wrong, and what to do.")  # noqa: N815


class HealthResponse(BaseModel):
    """The service is alive."""

    logId: str  # noqa: N815
    errorCode: Literal[0] = 0  # noqa: N815
    errorMsg: Literal["Healthy"] = "Healthy"  # noqa: N815


class Readiness(BaseModel):
    """What a request would find."""

    workers: int = Field(description="Workers that Redis has seen in the last seconds.")
    model: str | None = Field(description="The model of the last result; null where there is none yet.")


class ReadyResponse(BaseModel):
    """Pictures are inspected now."""

    logId: str  # noqa: N815
    errorCode: Literal[0] = 0  # noqa: N815
    errorMsg: Literal["Ready"] = "Ready"  # noqa: N815
    result: Readiness


def parse_request(body: bytes) -> InspectRequest:
    """The request for a verdict in a body; see `parse`."""
    return parse(InspectRequest, body)


def parse(kind: type[Asked], body: bytes) -> Asked:
    """The request of this kind in a body.

    Raises:
        Failure: 422, with the fields that are wrong; with the request's `logId` where it has one.
    """
    if any(body.count(mark) > _MOST_VALUES for mark in (b",", b"[", b"{")):
        raise Failure(422, f"the request's body: more than {_MOST_VALUES:,} values; a request has ten")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        failure = Failure(422, _explained(error))
        failure.log_id = _log_id_in(body)
        raise failure from error


def _explained(error: ValidationError) -> str:
    told = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(map(str, problem["loc"]))
        told.append(f"{where}: {problem['msg']}" if where else f"the request's body: {problem['msg']}")
    return "; ".join(told)[:_MAX_TOLD]


def _log_id_in(body: bytes) -> str:
    try:
        values = from_json(body)
    except ValueError:
        return ""
    found = values.get("logId") if isinstance(values, dict) else None
    return found if isinstance(found, str) and len(found) <= _MAX_LOG_ID else ""
