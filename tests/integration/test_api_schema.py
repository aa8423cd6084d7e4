"""Whatever the OpenAPI document allows and forbids is sent: every answer is one that it documents, none is a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import Engine

from jobqueue import JobQueueManager, Settings
from jobqueue.api import create_app
from tests.api_server import bearer, served, token, with_secret
from tests.integration.jobs import completed, failed, queued

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    ("post", "/api/extraction/submit"),
    ("get", "/api/extraction/status/{jobId}"),
    ("post", "/api/extraction/retry/{jobId}"),
    ("post", "/api/extraction/cancel/{jobId}"),
    ("get", "/api/extraction/jobs"),
    ("get", "/api/extraction/quota"),
    ("get", "/health"),
]


@pytest.fixture
def session(user_id: UUID) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        made.headers.update(bearer(token(user_id)))
        yield made


@pytest.fixture
def api_schema(settings: Settings) -> Iterator[Any]:
    app = create_app(with_secret(settings))
    with served(app) as url:
        schema = schemathesis.openapi.from_dict(app.openapi())
        schema.config.update(base_url=url)
        yield schema


@pytest.fixture
def own_jobs(manager: JobQueueManager, engine: Engine, user_id: UUID) -> list[str]:
    """One in each state that the routes tell apart."""
    jobs = [queued(manager, user_id), completed(manager, engine, user_id), failed(manager, engine, user_id)]
    return [str(job.id) for job in jobs]


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_documented(
    api_schema: Any,
    session: requests.Session,
    own_jobs: list[str],
    method: str,
    path: str,
    mode: schemathesis.GenerationMode,
) -> None:
    operation = api_schema[path][method]
    sent = 0

    @hypothesis_settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        nonlocal sent
        sent += 1
        case.call_and_validate(session=session, checks=CHECKS)
        if "jobId" in case.path_parameters:
            case.path_parameters["jobId"] = own_jobs[sent % len(own_jobs)]
            case.call_and_validate(session=session, checks=CHECKS)

    try:
        send()
    except Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE, "nothing was sent"
    assert sent > 0 or mode is schemathesis.GenerationMode.NEGATIVE


def test_every_route_is_among_them(api_schema: Any) -> None:
    documented = {(method, path) for path, methods in api_schema.raw_schema["paths"].items() for method in methods}
    assert documented == set(OPERATIONS)
