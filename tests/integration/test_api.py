"""Every documented answer of the HTTP API, from a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Header, HTTPException
from sqlalchemy import Engine

from jobqueue import JobQueueManager, JobStatus, Settings
from jobqueue.api import create_router
from jobqueue.api.route import MAX_BODY_BYTES
from jobqueue.settings import load_settings
from tests.api_server import SECRET, api_client, bearer, served, token, with_secret
from tests.eventually import eventually
from tests.image_server import ImageServer
from tests.integration.jobs import claimed, complete, completed, count, current, failed, queued, row, some_hash
from tests.processes import REPOSITORY
from tests.scripted_extractor import RESULT

NOBODYS = "00000000-0000-4000-8000-000000000000"
SUBMIT = "/api/extraction/submit"
STATE_KEYS = {"id", "status", "result", "error", "confidence", "processingTime", "createdAt", "completedAt"}
ROUTES = [
    ("POST", SUBMIT),
    ("GET", f"/api/extraction/status/{NOBODYS}"),
    ("POST", f"/api/extraction/retry/{NOBODYS}"),
    ("POST", f"/api/extraction/cancel/{NOBODYS}"),
    ("GET", "/api/extraction/jobs"),
    ("GET", "/api/extraction/quota"),
]


@pytest.fixture
def api(settings: Settings, user_id: UUID) -> Iterator[httpx.Client]:
    with api_client(with_secret(settings), user_id) as client:
        yield client


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of an error, which says no more than it should."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == ({"error", "code", "resetAt"} if status == 429 else {"error", "code"})
    assert body["code"] == code
    assert body["error"].endswith(".")
    assert "\n" not in body["error"]
    assert "Traceback" not in answer.text
    return body


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


def test_status(api: httpx.Client, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    done = completed(manager, engine, user_id)
    answer = api.get(f"/api/extraction/status/{done.id}")
    assert answer.status_code == 200
    assert set(answer.json()) == {"success", "job"}
    job = answer.json()["job"]
    assert set(job) == STATE_KEYS
    assert (job["id"], job["status"], job["result"], job["error"]) == (str(done.id), "completed", RESULT, None)
    assert (job["confidence"], job["processingTime"]) == (pytest.approx(0.9), 12)
    assert datetime.fromisoformat(job["createdAt"]) == done.created_at
    assert job["completedAt"].endswith("Z")
    lost = failed(manager, engine, user_id)
    job = api.get(f"/api/extraction/status/{lost.id}").json()["job"]
    assert (job["status"], job["result"], job["error"]) == ("failed", None, "No menu.")


def test_jobs(api: httpx.Client, manager: JobQueueManager, user_id: UUID, engine: Engine, other_user_id: UUID) -> None:
    queued(manager, other_user_id)
    assert api.get("/api/extraction/jobs").json() == {"success": True, "jobs": []}
    ids = [str(queued(manager, user_id).id) for _ in range(3)]
    done = completed(manager, engine, user_id)
    newest_first = [str(done.id), *reversed(ids)]
    jobs = api.get("/api/extraction/jobs").json()["jobs"]
    assert [job["id"] for job in jobs] == newest_first
    assert set(jobs[0]) == STATE_KEYS | {
        "userId",
        "imageUrl",
        "imageHash",
        "schemaVersion",
        "promptVersion",
        "errorCode",
        "retryCount",
        "retryOf",
        "attempt",
        "tokenUsage",
        "uncertainItems",
        "superfluousText",
        "startedAt",
    }
    page = api.get("/api/extraction/jobs", params={"limit": 2, "before": newest_first[0]}).json()["jobs"]
    assert [job["id"] for job in page] == newest_first[1:3]
    only = api.get("/api/extraction/jobs", params={"status": "completed"}).json()["jobs"]
    assert [job["id"] for job in only] == [str(done.id)]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=", "status=lost", "before=1", "before=%00", "limit=1e3"]
)
def test_jobs_with_wrong_input(api: httpx.Client, query: str) -> None:
    refused(api.get(f"/api/extraction/jobs?{query}"), 422, "INVALID_INPUT")


def test_retry(api: httpx.Client, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    lost = failed(manager, engine, user_id)
    body = api.post(f"/api/extraction/retry/{lost.id}").json()
    assert (body["success"], body["jobId"]) == (True, body["job"]["id"])
    assert (body["job"]["retryOf"], body["job"]["retryCount"], body["job"]["status"]) == (str(lost.id), 1, "queued")
    assert api.post(f"/api/extraction/retry/{lost.id}").json()["jobId"] == body["jobId"]
    refused(api.post(f"/api/extraction/retry/{body['jobId']}"), 409, "INVALID_STATUS")


def test_retry_a_fourth_time(api: httpx.Client, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job_id = str(queued(manager, user_id).id)
    for _ in range(3):
        manager.mark_job_failed(job_id, "No menu.")
        job_id = api.post(f"/api/extraction/retry/{job_id}").json()["jobId"]
    manager.mark_job_failed(job_id, "No menu.")
    refused(api.post(f"/api/extraction/retry/{job_id}"), 409, "MAX_RETRIES_EXCEEDED")
    assert row(engine, UUID(job_id))["retry_count"] == 3


def test_retry_beyond_the_hourly_limit(
    settings: Settings, user_on_plan: Callable[..., UUID], manager: JobQueueManager, engine: Engine
) -> None:
    user = user_on_plan("free", {"ocr_jobs": -1, "hourly_uploads": 1})
    lost = failed(manager, engine, user)
    with api_client(with_secret(settings), user) as api:
        refused(api.post(f"/api/extraction/retry/{lost.id}"), 429, "RATE_LIMIT_EXCEEDED")


def test_cancel(api: httpx.Client, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    body = api.post(f"/api/extraction/cancel/{job.id}").json()
    assert (body["success"], body["jobId"], body["job"]["errorCode"]) == (True, str(job.id), "CANCELLED")
    assert current(manager, job.id).status is JobStatus.FAILED
    refused(api.post(f"/api/extraction/cancel/{job.id}"), 409, "INVALID_STATUS")


def test_quota(settings: Settings, user_on_plan: Callable[..., UUID], manager: JobQueueManager) -> None:
    user = user_on_plan("free", {"ocr_jobs": 2, "hourly_uploads": 1})
    queued(manager, user)
    with api_client(with_secret(settings), user) as api:
        body = api.get("/api/extraction/quota").json()
    rate = body.pop("rateLimit")
    resets_at = datetime.fromisoformat(body.pop("resetsAt"))
    assert body == {"success": True, "allowed": True, "current": 1, "limit": 2, "reason": None}
    assert resets_at == manager.check_quota(user).resets_at
    assert datetime.fromisoformat(rate.pop("resetAt")) == manager.check_rate_limit(user).reset_at
    assert rate == {"allowed": False, "current": 1, "limit": 1}


@pytest.mark.parametrize(("method", "action"), [("GET", "status"), ("POST", "retry"), ("POST", "cancel")])
def test_an_unknown_job_and_somebody_elses_are_not_told_apart(
    api: httpx.Client, manager: JobQueueManager, other_user_id: UUID, method: str, action: str
) -> None:
    others = queued(manager, other_user_id)
    answers = [api.request(method, f"/api/extraction/{action}/{job_id}") for job_id in (uuid4(), others.id)]
    assert refused(answers[0], 404, "JOB_NOT_FOUND") == refused(answers[1], 404, "JOB_NOT_FOUND")
    assert current(manager, others.id).status is JobStatus.QUEUED
    for malformed in ("1234", "%00", "%ff", "x" * 3000):
        refused(api.request(method, f"/api/extraction/{action}/{malformed}"), 422, "INVALID_INPUT")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_is_asked_to_sign_in(settings: Settings, method: str, path: str) -> None:
    body = {"json": {"imageUrl": "https://h/m.png"}} if path == SUBMIT else {}
    with api_client(with_secret(settings)) as api:
        answer = api.request(method, path, **body)  # type: ignore[arg-type]
    refused(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_queue_is_unavailable(
    settings: Settings, user_id: UUID, image_server: ImageServer, method: str, path: str
) -> None:
    away = load_settings(
        database_url="postgresql://me:hidden@127.0.0.1:1/menus",
        jwt_secret=SECRET,
        private_image_hosts=frozenset({"127.0.0.1"}),
    )
    body = {"json": {"imageUrl": image_server.url()}} if path == SUBMIT else {}
    with api_client(away, user_id) as api:
        answer = api.request(method, path, **body)  # type: ignore[arg-type]
        health = api.get("/health")
    assert "hidden" not in str(refused(answer, 503, "QUEUE_UNAVAILABLE"))
    assert int(answer.headers["retry-after"]) > 0
    assert (health.status_code, health.json()["ready"]) == (503, False)
    assert health.json()["reasons"][0].startswith("Nothing answers at the address in DATABASE_URL")


def test_a_user_who_was_deleted(settings: Settings, database_url: str, image_server: ImageServer) -> None:
    with api_client(with_secret(settings), uuid4()) as api:
        refused(api.post(SUBMIT, json={"imageUrl": image_server.url()}), 401, "USER_NOT_FOUND")


def test_health_needs_no_token(settings: Settings) -> None:
    with api_client(with_secret(settings)) as api:
        answer = api.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})


def test_a_database_that_is_not_migrated_is_not_ready(settings: Settings, empty_database_url: str) -> None:
    with api_client(load_settings(database_url=empty_database_url, jwt_secret=SECRET)) as api:
        answer = api.get("/health")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert "jobqueue migrate" in answer.json()["reasons"][0]


def test_what_is_no_route(api: httpx.Client) -> None:
    refused(api.get("/api/extraction/nothing"), 404, "NOT_FOUND")
    answer = api.get(SUBMIT)
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


def test_an_error_of_ours_is_no_traceback(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(JobQueueManager, "list_user_jobs", broken)
    answer = api.get("/api/extraction/jobs")
    assert "secret detail" not in str(refused(answer, 500, "INTERNAL_ERROR"))


def test_mounted_with_the_sign_in_of_the_application(manager: JobQueueManager, user_id: UUID) -> None:
    def who(x_user: str | None = Header(None)) -> str:
        if x_user is None:
            raise HTTPException(418, "not you")
        return x_user

    app = FastAPI()
    app.include_router(create_router(manager, current_user=who), prefix="/v1")
    job = queued(manager, user_id, image_hash=some_hash())
    with served(app) as url, httpx.Client(base_url=f"{url}/v1/api/extraction", trust_env=False) as client:
        stranger = client.get("/jobs")
        assert (stranger.status_code, stranger.json()) == (418, {"detail": "not you"})
        client.headers["X-User"] = str(user_id)
        assert [one["id"] for one in client.get("/jobs").json()["jobs"]] == [str(job.id)]
        refused(client.get(f"/status/{NOBODYS}"), 404, "JOB_NOT_FOUND")
        refused(client.post("/submit", json={}), 422, "INVALID_INPUT")
        large = {"imageUrl": "x" * MAX_BODY_BYTES}
        refused(client.post("/submit", json=large), 413, "BODY_TOO_LARGE")
        client.headers["X-User"] = "me"
        refused(client.get("/jobs"), 422, "INVALID_INPUT")


def command(settings: Settings, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from jobqueue.cli import main; main()", "api", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "DATABASE_URL": settings.required_database_url,
            **environment,
        },
    )


def test_the_command_serves_it(settings: Settings, manager: JobQueueManager, user_id: UUID) -> None:
    job = queued(manager, user_id)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with command(settings, "--port", port, JOBQUEUE_JWT_SECRET=SECRET) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            def answers() -> bool:
                try:
                    return client.get("/health").status_code == 200
                except httpx.ConnectError:
                    return False

            eventually(answers, within=30, what="jobqueue api answers")
            answer = client.get(f"/api/extraction/status/{job.id}", headers=bearer(token(user_id)))
            assert answer.json()["job"]["id"] == str(job.id)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in (0, -signal.SIGTERM)


def test_the_command_without_keys_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    with command(settings) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait(15) == 2
    assert printed.startswith("Error: JOBQUEUE_JWT_SECRET is not set; give ")
    assert printed.count("\n") == 1
