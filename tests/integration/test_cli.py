"""The commands that act on jobs: what they do, and what they print for people and for programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Engine, text

from jobqueue import JobQueueManager
from tests.command_line import URL, CommandLine
from tests.image_server import ImageServer
from tests.integration.jobs import claimed, completed, current, failed, queued, some_hash
from tests.scripted_extractor import RESULT


def test_submit_prints_the_job_id_and_nothing_else(run: CommandLine, manager: JobQueueManager, user_id: UUID) -> None:
    result = run("submit", URL, "--hash", "ab" * 32)
    job = current(manager, UUID(result.stdout.strip()))
    assert (result.exit_code, result.stderr) == (0, "")
    assert (job.user_id, job.image_url, job.image_hash) == (user_id, URL, "ab" * 32)
    assert run("submit", URL, "--hash", "ab" * 32).stdout == result.stdout
    assert run("submit", URL, "--hash", "ab" * 32, "--force").stdout != result.stdout
    assert run("submit", URL, "--hash", "ab" * 32, "--schema-version=stage2").stdout != result.stdout
    assert run("submit", URL, "--hash", "ab" * 32, "--prompt-version=v2").stdout != result.stdout


def test_submit_fetches_and_hashes_pictures(
    run: CommandLine, manager: JobQueueManager, image_server: ImageServer
) -> None:
    result = run("submit", image_server.url("/menu.png"), image_server.url("/menu.jpg"))
    ids = result.stdout.split()
    assert result.exit_code == 0
    assert [current(manager, UUID(one)).image_hash for one in ids] == [
        image_server.sha256("/menu.png"),
        image_server.sha256("/menu.jpg"),
    ]


def test_the_option_wins_over_the_environment(run: CommandLine, manager: JobQueueManager, other_user_id: UUID) -> None:
    result = run("submit", URL, "--hash", some_hash(), "--user", other_user_id)
    assert current(manager, UUID(result.stdout.strip())).user_id == other_user_id


def test_each_of_several_submissions_succeeds_or_fails_on_its_own(run: CommandLine, image_server: ImageServer) -> None:
    good, missing = image_server.url(), image_server.url("/nothing.png")
    people = run("submit", "ftp://x", good, missing)
    assert people.exit_code == 2  # the first failure decides
    assert len(people.stdout.split()) == 1
    assert [line.split(": ")[:2] for line in people.stderr.splitlines()] == [["Error", "ftp://x"], ["Error", missing]]
    machines = run("submit", missing, good, "--json")
    assert machines.exit_code == 1
    document = json.loads(machines.stdout)
    assert (document["success"], document["code"]) == (False, "IMAGE_REJECTED")
    assert document["submissions"][0]["code"] == "IMAGE_REJECTED"
    assert document["submissions"][1] == {
        "imageUrl": good,
        "jobId": people.stdout.strip(),
        "cached": False,
        "status": "queued",
    }


def test_status_shows_the_menu(run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = completed(manager, engine, user_id)
    people = run("status", job.id)
    assert people.exit_code == 0
    assert [line for line in people.stdout.splitlines() if "Miso" in line and "4.50 EUR" in line and "Soups" in line]
    document = run.json("status", job.id)
    assert document["job"]["id"] == document["jobId"] == str(job.id)
    assert (document["success"], document["job"]["status"], document["job"]["result"]) == (True, "completed", RESULT)
    assert document["job"]["createdAt"].endswith("Z")


def test_list_pages_and_filters(run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    jobs = [queued(manager, user_id) for _ in range(3)]
    lost = failed(manager, engine, user_id)
    newest_first = [str(job.id) for job in reversed([*jobs, lost])]
    assert [job["id"] for job in run.json("list")["jobs"]] == newest_first
    assert [job["id"] for job in run.json("list", "--limit", 2)["jobs"]] == newest_first[:2]
    assert [job["id"] for job in run.json("list", "--before", newest_first[1])["jobs"]] == newest_first[2:]
    assert [job["id"] for job in run.json("list", "--status", "failed")["jobs"]] == [str(lost.id)]
    table = run("list").stdout
    assert [line.split()[0] for line in table.splitlines()[3:] if line.strip()] == newest_first
    assert "No menu." in table


def test_retry_and_cancel(run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    lost = failed(manager, engine, user_id)
    again = UUID(run("retry", lost.id).stdout.strip())
    assert current(manager, again).retry_of == lost.id
    assert run.json("retry", lost.id)["jobId"] == str(again)
    assert run("cancel", again).stdout == "Cancelled.\n"
    assert current(manager, again).error_code == "CANCELLED"
    busy = queued(manager, user_id)
    claimed(engine, busy.id)
    assert run("cancel", busy.id).stdout == "The worker was told; it stops within seconds.\n"
    document = run.json("cancel", busy.id)
    assert (document["success"], document["job"]["status"]) == (True, "processing")


def test_quota(run: CommandLine, manager: JobQueueManager, user_on_plan: Callable[..., UUID]) -> None:
    user = user_on_plan("free", {"ocr_jobs": 1, "hourly_uploads": -1})
    queued(manager, user)
    document = run.json("quota", "--user", user)
    assert (document["allowed"], document["current"], document["limit"]) == (False, 1, 1)
    assert document["reason"] == "The monthly quota of 1 extractions is used up."
    assert document["resetsAt"].endswith("-01T00:00:00Z")
    assert document["rateLimit"] | {"resetAt": None} == {"allowed": True, "current": 1, "limit": -1, "resetAt": None}
    table = run("quota", "--user", user).stdout
    assert "unlimited" in table
    assert document["resetsAt"][:10] in table


def test_history(run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = failed(manager, engine, user_id)
    entries = run.json("history", job.id)["history"]
    assert [(one["seq"], one["status"], one["error"]) for one in entries] == [
        (1, "queued", None),
        (2, "processing", None),
        (3, "failed", "No menu."),
    ]
    assert entries[2]["errorCode"] == "NO_MENU_FOUND"
    table = run("history", job.id).stdout
    assert [line.split()[3] for line in table.splitlines()[3:] if line.strip()] == ["queued", "processing", "failed"]


def test_a_result_of_the_first_generation_does_not_break_status(
    run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = completed(manager, engine, user_id)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE menu_extraction_jobs DISABLE TRIGGER USER"))
        connection.execute(
            text('UPDATE menu_extraction_jobs SET result = \'{"text": "Soup"}\' WHERE id = :id'), {"id": job.id}
        )
        connection.execute(text("ALTER TABLE menu_extraction_jobs ENABLE TRIGGER USER"))
    result = run("status", job.id)
    assert result.exit_code == 0
    assert "older format" in result.stdout
    assert run.json("status", job.id)["job"]["result"] == {"text": "Soup"}


def test_a_hash_is_taken_at_its_word(run: CommandLine, image_server: ImageServer) -> None:
    url = image_server.url()
    assert run("submit", url, "--hash", hashlib.sha256(b"x").hexdigest()).exit_code == 0
    assert image_server.requests(url) == 0
