"""A route that answers errors in this API's own form, whatever application it is mounted in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Message

from jobqueue.api.error_response import error_response, response_for, validation_response
from jobqueue.errors import JobQueueError
from jobqueue.json_shapes import ErrorAnswer

MAX_BODY_BYTES = 65_536


class RefusedError(Exception):
    """Refused before the queue is asked."""

    def __init__(self, status: int, message: str, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.answer = ErrorAnswer(error=message, code=code)
        self.headers = headers


class JobQueueRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except JobQueueError as error:
                return response_for(error)
            except RequestValidationError as error:
                return validation_response(error)
            except RefusedError as error:
                return error_response(error.status, error.answer, error.headers)

        async def handled(request: Request) -> Response:
            limited = _with_limited_body(request)
            answer = await answered(limited)
            if not await _is_read_to_its_end(limited):
                # Otherwise the server would go on receiving what nobody reads.
                answer.headers["Connection"] = "close"
            return answer

        return handled


def _with_limited_body(request: Request) -> Request:
    # FastAPI's own limit answers with plain text.
    left = MAX_BODY_BYTES

    async def receive() -> Message:
        nonlocal left
        if left >= 0:
            message = await request.receive()
            left -= len(message.get("body", b""))
        if left < 0:
            raise RefusedError(413, f"The body is larger than {MAX_BODY_BYTES} bytes.", "BODY_TOO_LARGE")
        return message

    return Request(request.scope, receive)


async def _is_read_to_its_end(request: Request) -> bool:
    """Reads what no route wanted: a client that is still sending when the connection closes may not see the answer."""
    try:
        await request.body()
    except (RefusedError, ClientDisconnect):
        return False
    return True
