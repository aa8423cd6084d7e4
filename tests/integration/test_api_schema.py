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
from tests.image_server import ImageServer
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


EXAMPLES = 30


@pytest.fixture
def session(user_id: UUID) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        made.headers.update(bearer(token(user_id)))
        yield made


@pytest.fixture
def stranger() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
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
    stranger: requests.Session,
    own_jobs: list[str],
    image_server: ImageServer,
    method: str,
    path: str,
    mode: schemathesis.GenerationMode,
) -> None:
    statuses: list[int] = []
    strangers: list[int] = []

    def send(case: Any, caller: requests.Session) -> int:
        return int(case.call_and_validate(session=caller, checks=CHECKS).status_code)

    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api_schema[path][method].as_strategy(generation_mode=mode))
    def send_as_everybody(case: Any) -> None:
        case.headers.pop("Authorization", None)
        strangers.append(send(case, stranger))
        statuses.append(send(case, session))
        if "jobId" in case.path_parameters:
            case.path_parameters["jobId"] = own_jobs[len(statuses) % len(own_jobs)]
            statuses.append(send(case, session))
        if isinstance(case.body, dict) and "imageUrl" in case.body:
            case.body["imageUrl"] = image_server.url()
            statuses.append(send(case, session))

    if path == "/health" and mode is schemathesis.GenerationMode.NEGATIVE:
        # It takes nothing that could be wrong.
        with pytest.raises(Unsatisfiable):
            send_as_everybody()
        return
    send_as_everybody()
    if path == "/health":
        assert set(strangers) == set(statuses) == {200}
        return
    assert set(strangers) == {401}
    assert len(strangers) >= EXAMPLES
    assert {200, 422} & set(statuses)
    assert 200 in statuses or mode is schemathesis.GenerationMode.NEGATIVE


def test_every_route_is_among_them(api_schema: Any) -> None:
    documented = {(method, path) for path, methods in api_schema.raw_schema["paths"].items() for method in methods}
    assert documented == set(OPERATIONS)
