"""Every documented answer of the route that submits, from a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine

from jobqueue import JobQueueManager, Settings
from jobqueue.api.route import MAX_BODY_BYTES
from tests.api_server import api_client, with_secret
from tests.image_server import ImageServer
from tests.integration.api_answers import SUBMIT, refused
from tests.integration.jobs import claimed, complete, count, current, queued


def test_submit(api: httpx.Client, manager: JobQueueManager, engine: Engine, user_id: UUID, image_server: Any) -> None:
    url = image_server.url()
    answer = api.post(SUBMIT, json={"imageUrl": url})
    body = answer.json()
    assert (answer.status_code, body) == (
        200,
        {"success": True, "jobId": body["jobId"], "cached": False, "estimatedTime": 30},
    )
    job = current(manager, UUID(body["jobId"]))
    assert (job.user_id, job.image_url, job.image_hash) == (user_id, url, image_server.sha256())
    assert (job.schema_version, job.prompt_version) == ("stage1", "v1.0")
    assert api.post(SUBMIT, json={"imageUrl": url}).json() == body
    assert complete(engine, job.id, claimed(engine, job.id).attempt)
    assert api.post(SUBMIT, json={"imageUrl": url}).json() == {**body, "cached": True}
    forced = api.post(SUBMIT, json={"imageUrl": url, "force": True}).json()
    assert (forced["cached"], forced["jobId"] == body["jobId"]) == (False, False)
    other = api.post(SUBMIT, json={"imageUrl": url, "schemaVersion": "stage2", "promptVersion": "v2"}).json()
    assert current(manager, UUID(other["jobId"])).schema_version == "stage2"
    assert current(manager, UUID(other["jobId"])).prompt_version == "v2"


def test_submit_beyond_the_quota(
    settings: Settings, user_on_plan: Callable[..., UUID], engine: Engine, image_server: ImageServer
) -> None:
    with api_client(with_secret(settings), user_on_plan("free", {"ocr_jobs": 0})) as api:
        body = refused(api.post(SUBMIT, json={"imageUrl": image_server.url()}), 403, "QUOTA_EXCEEDED")
        assert body["error"].startswith("The monthly quota of 0 extractions is used up")
    assert count(engine) == 0


def test_submit_beyond_the_hourly_limit(
    settings: Settings, user_on_plan: Callable[..., UUID], manager: JobQueueManager, image_server: ImageServer
) -> None:
    user = user_on_plan("free", {"ocr_jobs": -1, "hourly_uploads": 1})
    first = queued(manager, user)
    with api_client(with_secret(settings), user) as api:
        answer = api.post(SUBMIT, json={"imageUrl": image_server.url()})
    body = refused(answer, 429, "RATE_LIMIT_EXCEEDED")
    reset_at = datetime.fromisoformat(body["resetAt"])
    assert (reset_at - first.created_at).total_seconds() == 3600
    left = (reset_at - datetime.now(UTC)).total_seconds()
    assert 0 <= int(answer.headers["retry-after"]) - left < 3


def test_submit_when_nothing_is_ever_let_in(
    settings: Settings, user_on_plan: Callable[..., UUID], image_server: ImageServer
) -> None:
    with api_client(with_secret(settings), user_on_plan("free", {"ocr_jobs": -1, "hourly_uploads": 0})) as api:
        answer = api.post(SUBMIT, json={"imageUrl": image_server.url()})
    assert refused(answer, 429, "RATE_LIMIT_EXCEEDED")["resetAt"] is None
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "https://x/",
        None,
        {"imageUrl": None},
        {"imageUrl": 7},
        {"imageUrl": ""},
        {"imageUrl": "ftp://h/menu.png"},
        {"imageUrl": "https://h/\x00"},
        {"imageUrl": "https://h/\ud800"},
        {"imageUrl": "https://h/" + "x" * 3000},
        {"imageUrl": "https://h/m.png", "schemaVersion": "stage9"},
        {"imageUrl": "https://h/m.png", "schemaVersion": None},
        {"imageUrl": "https://h/m.png", "promptVersion": ""},
        {"imageUrl": "https://h/m.png", "promptVersion": "\ud800"},
        {"imageUrl": "https://h/m.png", "promptVersion": "v" * 51},
        {"imageUrl": "https://h/m.png", "force": "yes"},
        {"imageUrl": "https://h/m.png", "Force": True},
        {"imageUrl": "https://h/m.png", "\ud800": True},
    ],
)
def test_submit_with_wrong_input(api: httpx.Client, engine: Engine, body: Any) -> None:
    answer = api.post(SUBMIT, content=json.dumps(body), headers={"Content-Type": "application/json"})
    refused(answer, 422, "INVALID_INPUT")
    assert count(engine) == 0


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"\xff\xfe\x00", "application/json"),
        (b"[" * 60_000, "application/json"),
        (b'{"imageUrl": ' + b"9" * 5000 + b"}", "application/json"),
        (b'{"imageUrl": NaN}', "application/json"),
        (b'{"imageUrl": "https://h/m.png"}', "text/plain"),
        (b"imageUrl=https://h/m.png", "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_is_no_json(api: httpx.Client, engine: Engine, content: bytes, media_type: str) -> None:
    refused(api.post(SUBMIT, content=content, headers={"Content-Type": media_type}), 422, "INVALID_INPUT")
    assert count(engine) == 0


def test_the_problem_is_named(api: httpx.Client) -> None:
    assert api.post(SUBMIT, json={}).json()["error"] == "imageUrl is missing."
    assert (
        api.post(SUBMIT, json={"imageUrl": 7}).json()["error"] == "imageUrl is wrong: input should be a valid string."
    )
    assert api.get("/api/extraction/jobs?limit=0").json()["error"].startswith("limit is wrong: ")
    assert "known" in api.post(SUBMIT, json={"imageUrl": "https://h/m.png", "Force": 1}).json()["error"]


def test_a_body_that_is_too_large_is_not_read_to_its_end(api: httpx.Client, engine: Engine) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200 * MAX_BODY_BYTES:
            sent += 8192
            yield b" " * 8192

    try:
        answer = api.post(SUBMIT, content=endless(), headers={"Content-Type": "application/json"})
    except httpx.TransportError:
        pass  # the server closed the connection while we were still sending
    else:
        refused(answer, 413, "BODY_TOO_LARGE")
    assert sent < 200 * MAX_BODY_BYTES
    body = json.dumps({"imageUrl": "https://h/m.png", "promptVersion": "v" * MAX_BODY_BYTES})
    refused(api.post(SUBMIT, content=body, headers={"Content-Type": "application/json"}), 413, "BODY_TOO_LARGE")
    assert count(engine) == 0


def test_a_picture_that_cannot_be_used(api: httpx.Client, engine: Engine, image_server: ImageServer) -> None:
    for url in (image_server.url("/nothing.png"), image_server.url("/menu.pdf"), "http://169.254.169.254/latest"):
        refused(api.post(SUBMIT, json={"imageUrl": url}), 422, "IMAGE_REJECTED")
    assert count(engine) == 0
