"""A route that answers errors in this API's own form, whatever application it is mounted in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message

from jobqueue.api.error_response import error_response, response_for, validation_response
from jobqueue.errors import JobQueueError
from jobqueue.json_shapes import ErrorAnswer

MAX_BODY_BYTES = 65_536
UNREADABLE = ErrorAnswer(error="The body is not readable as JSON.", code="INVALID_INPUT")
# Otherwise the server would go on receiving what nobody reads.
CLOSE = {"Connection": "close"}


class RefusedError(HTTPException):
    """Refused before the queue is asked; an HTTPException, because FastAPI lets only those through."""

    def __init__(self, status: int, message: str, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.answer = ErrorAnswer(error=message, code=code)


class JobQueueRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(_with_limited_body(request))
            except JobQueueError as error:
                return response_for(error)
            except RequestValidationError as error:
                return validation_response(error)
            except RefusedError as error:
                return error_response(error.status_code, error.answer, dict(error.headers or {}))
            except HTTPException as error:
                # How FastAPI reports a body that is not UTF-8, or beyond what the parser bears.
                if error.status_code == 400 and isinstance(error.__cause__, ValueError | RecursionError):
                    return error_response(422, UNREADABLE)
                raise

        return handled


def _with_limited_body(request: Request) -> Request:
    # FastAPI's own limit answers with plain text.
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise RefusedError(413, f"The body is larger than {MAX_BODY_BYTES} bytes.", "BODY_TOO_LARGE", CLOSE)
        return message

    return Request(request.scope, receive)
