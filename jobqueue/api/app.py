"""The application that ``jobqueue api`` serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException

from jobqueue.api.error_response import error_response
from jobqueue.api.route import RefusedError
from jobqueue.api.router import create_router
from jobqueue.api.supabase_token import TokenRefusedError, TokenVerifier
from jobqueue.health_check import check_health
from jobqueue.json_shapes import ErrorAnswer, Health
from jobqueue.manager import JobQueueManager
from jobqueue.resources import open_database
from jobqueue.settings import Settings, load_settings

BEARER = HTTPBearer(auto_error=False, description="An access token of Supabase")
CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The routes with Supabase's tokens, and ``GET /health``.

    Without ``settings`` they are read from the environment. Raises ``InvalidInputError`` for a wrong or missing one.
    """
    settings = settings or load_settings()
    verifier = TokenVerifier(settings)
    database, engine = open_database(None, settings)
    manager = JobQueueManager(engine, settings=settings)

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        manager.close()
        if engine is not None:
            engine.dispose()

    app = FastAPI(title="menu-jobqueue", version=version("menu-jobqueue"), lifespan=closing)
    app.include_router(create_router(manager, current_user=_signed_in_user(verifier)))
    _answer_in_our_form(app)

    @app.get("/health", response_model=Health, responses={503: {"model": Health, "description": "Not ready"}})
    def health() -> JSONResponse:
        """Alive if it answers, ready if jobs can be submitted, healthy if they are done as well.

        Only what is not ready is answered 503: a load balancer must not take an application out of service because
        a worker is missing.
        """
        report = check_health(database, settings)
        reasons = [problem.message for problem in report.problems]
        answer = Health(ready=report.ready, healthy=report.healthy, reasons=reasons)
        return JSONResponse(answer.model_dump(mode="json"), 200 if report.ready else 503)

    return app


def _signed_in_user(verifier: TokenVerifier) -> Callable[..., UUID]:
    def signed_in_user(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> UUID:
        if credentials is None:
            raise _unauthorized("Sign in: send an Authorization header with a Bearer token.", "Bearer")
        try:
            return verifier.user_id(credentials.credentials)
        except TokenRefusedError as error:
            raise _unauthorized(str(error), 'Bearer error="invalid_token"') from None

    return signed_in_user


def _unauthorized(message: str, challenge: str) -> RefusedError:
    return RefusedError(401, message, "UNAUTHORIZED", {"WWW-Authenticate": challenge})


def _answer_in_our_form(app: FastAPI) -> None:
    """For what no route of ours answers."""

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        answer = ErrorAnswer(error=f"{error.detail}.", code=CODES.get(error.status_code, "REFUSED"))
        return error_response(error.status_code, answer, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def broken(_: Request, _error: Exception) -> JSONResponse:
        # The error itself goes to the server's log.
        answer = ErrorAnswer(error="Something went wrong on the server.", code="INTERNAL_ERROR")
        return error_response(500, answer)
