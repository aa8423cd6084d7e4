"""What the database itself refuses, whoever writes to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from psycopg2 import errors
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from jobqueue import JobQueueManager
from tests.integration.jobs import completed, failed, queued, row

JOB = {"image_url": "https://pictures.example/x.png"}
RESULT = '{"menu": {"categories": []}}'


def execute(engine: Engine, statement: str, *values: Any) -> None:
    """Plain SQL, as any other program would send it; raises the driver's own error."""
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement, values)
    except DBAPIError as error:
        assert error.orig is not None  # noqa: PT017 - for the type checker
        raise error.orig from None


def insert_job(engine: Engine, **columns: Any) -> None:
    names = ", ".join(columns)
    places = ", ".join(["%s"] * len(columns))
    values = [str(value) if isinstance(value, UUID) else value for value in columns.values()]
    execute(engine, f"INSERT INTO menu_extraction_jobs ({names}) VALUES ({places})", *values)  # noqa: S608


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"status": "cancelled"}, "menu_extraction_jobs_status_exists"),
        ({"status": "QUEUED"}, "menu_extraction_jobs_status_exists"),
        ({"status": ""}, "menu_extraction_jobs_status_exists"),
        ({"confidence": -0.001}, "menu_extraction_jobs_confidence_in_range"),
        ({"confidence": 1.001}, "menu_extraction_jobs_confidence_in_range"),
        ({"confidence": float("nan")}, "menu_extraction_jobs_confidence_in_range"),
        ({"retry_count": -1}, "menu_extraction_jobs_retry_count_not_negative"),
        ({"attempt": -1}, "menu_extraction_jobs_attempt_not_negative"),
        ({"processing_time": -1}, "menu_extraction_jobs_processing_time_not_negative"),
        ({"status": "completed"}, "menu_extraction_jobs_completed_has_result"),
        ({"status": "queued", "completed_at": "2026-01-01Z"}, "menu_extraction_jobs_finished_has_completed_at"),
    ],
)
def test_a_value_that_must_not_exist_is_refused(
    engine: Engine, user_id: UUID, columns: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(psycopg2.IntegrityError) as caught:
        insert_job(engine, user_id=user_id, **JOB, **columns)
    assert isinstance(caught.value, errors.CheckViolation)
    assert caught.value.diag.constraint_name == constraint


@pytest.mark.parametrize(
    "column", ["user_id", "image_url", "status", "schema_version", "prompt_version", "retry_count"]
)
def test_a_column_that_every_job_has_may_not_be_null(engine: Engine, user_id: UUID, column: str) -> None:
    with pytest.raises(errors.NotNullViolation) as caught:
        insert_job(engine, **{"user_id": user_id, **JOB, column: None})
    assert caught.value.diag.column_name == column


def test_a_job_of_nobody_is_refused(engine: Engine) -> None:
    with pytest.raises(errors.ForeignKeyViolation) as caught:
        insert_job(engine, user_id=uuid4(), **JOB)
    assert caught.value.diag.constraint_name == "menu_extraction_jobs_user_id_fkey"


@pytest.mark.parametrize(
    "columns", [{"confidence": 0}, {"confidence": 1}, {"confidence": None}, {"processing_time": 0}]
)
def test_the_limits_themselves_are_allowed(engine: Engine, user_id: UUID, columns: dict[str, Any]) -> None:
    insert_job(engine, user_id=user_id, **JOB, **columns)


def test_a_finished_job_gets_its_time(engine: Engine, user_id: UUID) -> None:
    insert_job(engine, user_id=user_id, **JOB, status="completed", result=RESULT)
    insert_job(engine, user_id=user_id, **JOB, status="failed")


FinishedJob = Callable[[JobQueueManager, Engine, UUID], Any]


@pytest.mark.parametrize(
    ("finish", "status"),
    [
        *((completed, status) for status in ("queued", "processing", "failed")),
        *((failed, status) for status in ("queued", "processing", "completed")),
    ],
)
def test_a_finished_job_is_final(
    manager: JobQueueManager, engine: Engine, user_id: UUID, finish: FinishedJob, status: str
) -> None:
    job = finish(manager, engine, user_id)
    before = row(engine, job.id)
    with pytest.raises(errors.CheckViolation) as caught:
        execute(
            engine,
            "UPDATE menu_extraction_jobs SET status = %s, result = %s, completed_at = NULL WHERE id = %s",
            status,
            RESULT,
            str(job.id),
        )
    assert caught.value.diag.constraint_name == "menu_extraction_jobs_finished_is_final"
    assert row(engine, job.id) == before


def test_there_is_one_relay(engine: Engine) -> None:
    with pytest.raises(errors.CheckViolation):
        execute(engine, "INSERT INTO menu_extraction_relay (id) VALUES (2)")


def test_an_unknown_notify_mode_is_refused(engine: Engine) -> None:
    with pytest.raises(errors.CheckViolation):
        execute(engine, "UPDATE menu_extraction_settings SET value = 'sometimes'")


def test_the_relay_cannot_have_published_what_it_has_not_numbered(engine: Engine) -> None:
    with pytest.raises(errors.CheckViolation):
        execute(engine, "UPDATE menu_extraction_relay SET published_cursor = last_cursor + 1")


def test_an_event_is_numbered_once(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    queued(manager, user_id)
    queued(manager, user_id)
    with pytest.raises(errors.UniqueViolation):
        execute(engine, "UPDATE menu_extraction_job_events SET cursor = 1")


def test_a_users_jobs_and_events_go_with_the_user(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    execute(engine, "DELETE FROM auth.users WHERE id = %s", str(user_id))
    assert manager.get_job_status(job.id) is None
    assert manager.job_history(job.id) == []
