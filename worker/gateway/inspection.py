"""`POST /image-anomaly-detection`: from a request to a frame, and from what is said of it to the answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from worker.gateway.access.check import Access
from worker.gateway.answers.write import Form, is_written_at_once, write
from worker.gateway.body import most_body_bytes, read_body
from worker.gateway.document.schemas import InspectRequest, parse_request
from worker.gateway.failures import Failure, of_dead_letter, of_result
from worker.gateway.line.client import LineClient
from worker.gateway.line.lookout import Lookout
from worker.gateway.pictures import Pictures
from worker.gateway.replying import failed, new_log_id
from worker.gateway.room import Room
from worker.gateway.sent import Sent
from worker.inference.headers import Header
from worker.settings import Settings
from worker.stream.replies import DeadReply, Reply
from worker.types import Frame, Result

_MOST_ARRAY_PIXELS = 2**24  # an array has two to four characters a pixel: beyond it one answer would fill the memory
_WRITERS = 2
_LARGE = 2**20  # bytes, from which reading the JSON keeps the event loop from others too long


class Inspection:
    """Answers requests for a verdict."""

    def __init__(
        self,
        settings: Settings,
        line: LineClient,
        lookout: Lookout,
        access: Access,
        pictures: Pictures,
        room: Room,
    ) -> None:
        self._gateway = settings.gateway
        self._most_body_bytes = most_body_bytes(settings.limits)
        self._line = line
        self._lookout = lookout
        self._access = access
        self._pictures = pictures
        self._room = room
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="answer")

    async def answer(self, request: Request) -> Response:
        """The answer, whatever comes of it."""
        arrived = asyncio.get_running_loop().time()
        asked: InspectRequest | None = None
        try:
            self._access.check(request)
            with ExitStack() as stack:
                held = stack.enter_context(self._room.held())
                body = await read_body(request, held, self._most_body_bytes, self._gateway.timeout_s)
                with self._room.place():
                    asked = await _parsed(body)
                    del body  # the picture is in hand once, not three times, while its verdict is waited for
                    answer = await self._inspect(asked, arrived)
                held.change_to(len(answer))
                return Sent(answer, stack.pop_all())
        except Failure as failure:
            return failed(failure, failure.log_id or (asked.logId if asked else None))
        except ClientDisconnect:
            return Response(status_code=499)  # to nobody; the number is for the metrics

    def close(self) -> None:
        """Write no more answers."""
        self._writers.shutdown(wait=False, cancel_futures=True)

    async def _inspect(self, asked: InspectRequest, arrived: float) -> bytes:
        if problem := self._lookout.state.problem:
            raise Failure(503, problem, 1)
        limit_ms = max(1, int(self._gateway.timeout_s * 1_000))  # 0 would be none
        deadline_ms = min(asked.deadlineMs or limit_ms, limit_ms)
        deadline = arrived + deadline_ms / 1_000
        data, encoding, header = await self._pictures.get(asked.image, deadline)
        asked.image = ""
        form = self._form(asked, header)
        # No `captured_at`: our clock may be another than the line's, by which workers judge what is late.
        frame = Frame(
            camera=asked.camera or self._gateway.camera,
            data=data,
            encoding=encoding,
            part_id=asked.partId or "",
            deadline_ms=deadline_ms,
        )
        result = _verdict(await self._line.inspect(frame, deadline))
        return await self._written(result, form)

    def _form(self, asked: InspectRequest, header: Header) -> Form:
        form = Form(
            log_id=asked.logId or new_log_id(),
            in_image_size=asked.labelMapSize == "image",
            encoding=asked.labelMapEncoding or "array",
            visualize=self._gateway.visualize if asked.visualize is None else asked.visualize,
        )
        pixels = header.width * header.height
        if form.in_image_size and form.encoding == "array" and pixels > _MOST_ARRAY_PIXELS:
            raise Failure(
                422,
                f"labelMapEncoding: an array of {pixels:,} pixels is more than the {_MOST_ARRAY_PIXELS:,} that are "
                "written so; ask for png or rle, or for labelMapSize model",
            )
        return form

    async def _written(self, result: Result, form: Form) -> bytes:
        if is_written_at_once(result, form):
            return write(result, form)
        return await asyncio.get_running_loop().run_in_executor(self._writers, write, result, form)


async def _parsed(body: bytes) -> InspectRequest:
    return await asyncio.to_thread(parse_request, body) if len(body) > _LARGE else parse_request(body)


def _verdict(reply: Reply) -> Result:
    if isinstance(reply, DeadReply):
        raise of_dead_letter(reply)
    if failure := of_result(reply):
        raise failure
    return reply
