"""What every route of the HTTP API has in common: sign-in, outages, unknown addresses, mounting."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Header, HTTPException
from sqlalchemy import Engine

from jobqueue import JobQueueManager, Settings
from jobqueue.api import create_router
from jobqueue.api.route import MAX_BODY_BYTES
from jobqueue.settings import load_settings
from tests.api_server import SECRET, api_client, served, with_secret
from tests.image_server import ImageServer
from tests.integration.api_answers import NOBODYS, ROUTES, SUBMIT, refused
from tests.integration.jobs import queued, report_worker, some_hash


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_is_asked_to_sign_in(settings: Settings, method: str, path: str) -> None:
    body = {"json": {"imageUrl": "https://h/m.png"}} if path == SUBMIT else {}
    with api_client(with_secret(settings)) as api:
        answer = api.request(method, path, **body)  # type: ignore[arg-type]
    refused(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("authorization", [None, "Bearer forged"])
@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"{", "application/json"),
        (b"\xff\xfe\x00", "application/json"),
        (b"[" * 60_000, "application/json"),
        (b"{}", "application/json"),
        (b"imageUrl=https://h/m.png", "application/x-www-form-urlencoded"),
        (b" " * (MAX_BODY_BYTES + 1), "application/json"),
    ],
)
def test_nobody_learns_what_is_wrong_with_the_body(
    settings: Settings, content: bytes, media_type: str, authorization: str | None
) -> None:
    headers = {"Content-Type": media_type} | ({} if authorization is None else {"Authorization": authorization})
    with api_client(with_secret(settings)) as api:
        refused(api.post(SUBMIT, content=content, headers=headers), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_learns_what_is_wrong_with_the_address(settings: Settings, method: str, path: str) -> None:
    with api_client(with_secret(settings)) as api:
        refused(api.request(method, path.replace(NOBODYS, "1234"), params={"limit": "x"}), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_body_without_end_is_not_read_to_its_end(settings: Settings, method: str, path: str) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200 * MAX_BODY_BYTES:
            sent += 8192
            yield b" " * 8192

    with api_client(with_secret(settings)) as api:
        try:
            answer = api.request(method, path, content=endless(), headers={"Content-Type": "application/json"})
        except httpx.TransportError:
            pass  # the server closed the connection while we were still sending
        else:
            refused(answer, 401, "UNAUTHORIZED")
    assert sent < 200 * MAX_BODY_BYTES


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


def test_health_needs_no_token_and_tells_no_names(settings: Settings, engine: Engine) -> None:
    report_worker(engine, "celery@secret-host", consuming=False)
    with api_client(with_secret(settings)) as api:
        answer = api.get("/health")
    assert answer.status_code == 200
    said = answer.json()
    assert (said["ready"], said["healthy"]) == (True, False)
    assert said["reasons"][0].startswith("No notifier works")
    assert said["reasons"][1].startswith("Cut off from the message broker")
    assert "secret-host" not in answer.text


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
