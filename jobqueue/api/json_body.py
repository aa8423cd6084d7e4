"""A body that is read after its sender is known: FastAPI itself reads and parses it before any dependency runs."""

from __future__ import annotations

from email.message import Message
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


async def read_json_body(request: Request, model: type[Model]) -> Model:
    """The body as ``model``; raises ``RequestValidationError`` for any other."""
    body = await request.body()
    if not _is_json(request.headers.get("content-type", "")):
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",), "msg": "not JSON"}])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in problems]) from None


def described_body(model: type[BaseModel]) -> dict[str, Any]:
    """The body for the OpenAPI document, as ``openapi_extra`` of its route."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))
