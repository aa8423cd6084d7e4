"""The trigger: one event and one notification for each status change, or none at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection
from sqlalchemy import Engine, text

from jobqueue import JobQueueManager
from tests.integration.jobs import claimed, complete, count, fail, queued, requeue, row

CHANNEL = "menu_extraction_jobs"
WAKE_UP_CHANNEL = "menu_extraction_jobs_wake_up"


class Listening:
    """Another program that LISTENs."""

    def __init__(self, session: connection) -> None:
        self._session = session

    def heard(self) -> list[tuple[str, str]]:
        """Channel and payload of everything committed so far: notifications come before a later query's answer."""
        with self._session.cursor() as cursor:
            cursor.execute("SELECT")
        found = [(one.channel, one.payload) for one in self._session.notifies]
        self._session.notifies.clear()
        return found

    def payloads(self) -> list[dict[str, Any]]:
        heard = self.heard()
        assert {channel for channel, _ in heard} <= {CHANNEL}
        return [json.loads(payload) for _, payload in heard]


@pytest.fixture
def listening(database_url: str) -> Iterator[Listening]:
    session = psycopg2.connect(database_url)
    session.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    with session.cursor() as cursor:
        for channel in (CHANNEL, WAKE_UP_CHANNEL):
            cursor.execute(f"LISTEN {channel}")
    yield Listening(session)
    session.close()


@contextmanager
def wake_up_mode(engine: Engine) -> Iterator[None]:
    with engine.begin() as session:
        session.execute(text("UPDATE menu_extraction_settings SET value = 'wake_up' WHERE name = 'notify_mode'"))
    yield


def events(engine: Engine, job_id: UUID) -> list[tuple[Any, ...]]:
    columns = "seq, status, attempt, error_code"
    with engine.connect() as session:
        query = f"SELECT {columns} FROM menu_extraction_job_events WHERE job_id = :id ORDER BY seq"  # noqa: S608
        found = session.execute(text(query), {"id": job_id})
        return [tuple(one) for one in found]


def test_each_change_is_notified_with_the_agreed_fields(
    manager: JobQueueManager, engine: Engine, user_id: UUID, listening: Listening
) -> None:
    job = queued(manager, user_id)
    complete(engine, job.id, claimed(engine, job.id).attempt)
    always = {"id": str(job.id), "user_id": str(user_id)}
    assert listening.payloads() == [
        {**always, "status": "queued", "confidence": None, "seq": 1, "attempt": 0},
        {**always, "status": "processing", "confidence": None, "seq": 2, "attempt": 1},
        {**always, "status": "completed", "confidence": 0.9, "seq": 3, "attempt": 1},
    ]


def test_seq_counts_without_a_hole_over_retries_and_rolled_back_changes(
    manager: JobQueueManager, engine: Engine, user_id: UUID, listening: Listening
) -> None:
    job = queued(manager, user_id)
    for attempt in (1, 2):
        with engine.connect() as session:
            session.execute(text("UPDATE menu_extraction_jobs SET status = 'processing'"))
            session.rollback()
        claimed(engine, job.id)
        assert requeue(engine, job.id, attempt)
    claimed(engine, job.id)
    assert fail(engine, job.id, 3)
    statuses = ["queued", "processing", "queued", "processing", "queued", "processing", "failed"]
    attempts = [0, 1, 1, 2, 2, 3, 3]
    assert [(seq, status, attempt) for seq, status, attempt, _ in events(engine, job.id)] == [
        (seq, status, attempt) for seq, (status, attempt) in enumerate(zip(statuses, attempts, strict=True), 1)
    ]
    assert [one["seq"] for one in listening.payloads()] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "change", ["status = status", "image_url = 'https://x.example'", "lease_expires_at = now()", "event_seq = 99"]
)
def test_an_update_that_changes_no_status_makes_no_event(
    manager: JobQueueManager, engine: Engine, user_id: UUID, listening: Listening, change: str
) -> None:
    job = queued(manager, user_id)
    listening.heard()
    with engine.begin() as session:
        session.execute(text(f"UPDATE menu_extraction_jobs SET {change}"))  # noqa: S608 - our own text
    assert listening.heard() == []
    assert len(events(engine, job.id)) == 1
    claimed(engine, job.id)
    assert [seq for seq, *_ in events(engine, job.id)] == [1, 2]


def test_a_rollback_leaves_nothing(engine: Engine, user_id: UUID, listening: Listening) -> None:
    with engine.connect() as session:
        session.execute(text("INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES (:u, 'x')"), {"u": user_id})
        session.execute(text("UPDATE menu_extraction_jobs SET status = 'processing'"))
        session.rollback()
    assert listening.heard() == []
    assert count(engine) == count(engine, "menu_extraction_job_events") == 0


def test_two_changes_in_one_transaction_are_two_events(engine: Engine, user_id: UUID, listening: Listening) -> None:
    with engine.begin() as session:
        session.execute(text("INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES (:u, 'x')"), {"u": user_id})
        session.execute(text("UPDATE menu_extraction_jobs SET status = 'processing'"))
        assert listening.heard() == []
    assert [(one["seq"], one["status"]) for one in listening.payloads()] == [(1, "queued"), (2, "processing")]


def test_one_statement_over_many_jobs_notifies_each(
    manager: JobQueueManager, engine: Engine, user_id: UUID, listening: Listening
) -> None:
    jobs = {str(queued(manager, user_id).id) for _ in range(20)}
    listening.heard()
    with engine.begin() as session:
        session.execute(text("UPDATE menu_extraction_jobs SET status = 'failed'"))
    payloads = listening.payloads()
    assert {one["id"] for one in payloads} == jobs
    assert {(one["seq"], one["status"]) for one in payloads} == {(2, "failed")}


@pytest.mark.parametrize("length", [10_000, 1_000_000])
def test_a_long_error_text_does_no_harm(
    manager: JobQueueManager, engine: Engine, user_id: UUID, listening: Listening, length: int
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    with engine.begin() as session:
        session.execute(
            text("UPDATE menu_extraction_jobs SET status = 'failed', error_message = repeat('ü', :n)"), {"n": length}
        )
    assert listening.payloads()[-1]["status"] == "failed"
    assert len(row(engine, job.id)["error_message"]) == length


def test_the_history_row_says_who_and_what(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id, worker="worker-7")
    fail(engine, job.id, 1, "There is no menu.")
    last = manager.job_history(job.id)[-1]
    assert (last.status, last.worker, last.error_code, last.error, last.attempt) == (
        "failed",
        "worker-7",
        "NO_MENU_FOUND",
        "There is no menu.",
        1,
    )


def test_in_wake_up_mode_only_a_sleeping_notifier_is_told_and_without_payload(
    manager: JobQueueManager, engine: Engine, user_id: UUID, listening: Listening
) -> None:
    with wake_up_mode(engine), engine.connect() as notifier:
        queued(manager, user_id)
        assert listening.heard() == []  # nobody sleeps: the notifier will look again by itself

        sleep = "SELECT {}(hashtextextended('menu_extraction_notifier_sleeps', 0))"
        notifier.execute(text(sleep.format("pg_advisory_lock")))
        job = queued(manager, user_id)
        assert listening.heard() == [(WAKE_UP_CHANNEL, "")]

        notifier.execute(text(sleep.format("pg_advisory_unlock")))
        claimed(engine, job.id)
        assert listening.heard() == []
    assert [status for _, status, *_ in events(engine, job.id)] == ["queued", "processing"]


def test_in_wake_up_mode_the_notifier_cannot_fall_asleep_before_a_silent_change_has_committed(
    engine: Engine, user_id: UUID
) -> None:
    sleep = text("SELECT pg_try_advisory_lock(hashtextextended('menu_extraction_notifier_sleeps', 0))")
    with wake_up_mode(engine), engine.connect() as writer, engine.connect() as notifier:
        writer.execute(text("INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES (:u, 'x')"), {"u": user_id})
        assert notifier.execute(sleep).scalar() is False
        writer.commit()
        assert notifier.execute(sleep).scalar() is True
