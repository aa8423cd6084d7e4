"""Every documented answer of the routes about jobs and the quota, from a real server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine

from jobqueue import JobQueueManager, JobStatus, Settings
from tests.api_server import api_client, with_secret
from tests.integration.api_answers import STATE_KEYS, refused
from tests.integration.jobs import claimed, completed, current, failed, queued, row
from tests.scripted_extractor import RESULT


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


def test_cancel_a_running_job(api: httpx.Client, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    body = api.post(f"/api/extraction/cancel/{job.id}").json()
    assert (body["success"], body["jobId"], body["job"]["status"]) == (True, str(job.id), "processing")


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
