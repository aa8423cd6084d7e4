"""A FastAPI application served by a real uvicorn on the loopback interface, and the tokens it accepts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
import jwt
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from jobqueue import Settings
from jobqueue.api import create_app
from tests.eventually import eventually

SECRET = "a-secret-of-at-least-thirty-two-bytes"


def with_secret(settings: Settings) -> Settings:
    return settings.model_copy(update={"jwt_secret": SecretStr(SECRET)})


def claims(user_id: UUID | str, **changes: Any) -> dict[str, Any]:
    """What Supabase puts into an access token, as far as it matters here; ``None`` leaves a claim out."""
    now = int(time.time())
    usual = {"sub": str(user_id), "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + 3600}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def token(user_id: UUID | str, **changes: Any) -> str:
    return jwt.encode(claims(user_id, **changes), SECRET, "HS256")


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The base URL of the running application."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            eventually(lambda: server.started or not thread.is_alive(), within=10, what="uvicorn listens")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def api_client(settings: Settings, user_id: UUID | None = None) -> Iterator[httpx.Client]:
    """A client of the whole application, signed in as the user."""
    with served(create_app(settings)) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        if user_id is not None:
            client.headers.update(bearer(token(user_id)))
        yield client
