"""What users say of their extractions, and the figures of each prompt version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from jobqueue import (
    ExtractionFeedback,
    ExtractionFigures,
    FeedbackType,
    InvalidInputError,
    InvalidStatusError,
    JobNotFoundError,
    JobQueueManager,
    Settings,
)
from jobqueue.cli import main
from jobqueue.database import create_database_engine
from jobqueue.migration import migrate
from tests.integration.jobs import completed, count, failed, queued
from tests.scripted_extractor import RESULT


@pytest.fixture
def feedback(engine: Engine, settings: Settings) -> Iterator[ExtractionFeedback]:
    made = ExtractionFeedback(engine, settings=settings)
    yield made
    made.close()


def test_feedback_is_kept_in_the_order_it_was_given(
    feedback: ExtractionFeedback, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = completed(manager, engine, user_id)
    before = datetime.now(UTC)
    first = feedback.give(str(job.id), str(user_id), "needs_improvement", item_id="0/3", correction_made=True)
    second = feedback.give(job.id, user_id, FeedbackType.EXCELLENT, comment="Crème brûlée, read right.")
    assert (first.job_id, first.user_id, first.feedback_type) == (job.id, user_id, FeedbackType.NEEDS_IMPROVEMENT)
    assert (first.item_id, first.correction_made, first.comment) == ("0/3", True, None)
    assert (second.item_id, second.correction_made, second.comment) == (None, False, "Crème brûlée, read right.")
    assert before <= first.created_at < second.created_at
    assert feedback.on_job(job.id) == feedback.on_job(job.id, user_id) == [first, second]


def test_feedback_is_for_ones_own_jobs(
    feedback: ExtractionFeedback, manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    job = completed(manager, engine, user_id)
    feedback.give(job.id, user_id, "excellent")
    for job_id in (job.id, uuid4()):
        with pytest.raises(JobNotFoundError):
            feedback.give(job_id, other_user_id, "excellent")
        assert feedback.on_job(job_id, other_user_id) == []
    assert count(engine, "extraction_feedback") == 1


def test_feedback_waits_for_the_end_of_the_job(
    feedback: ExtractionFeedback, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    with pytest.raises(InvalidStatusError):
        feedback.give(queued(manager, user_id).id, user_id, "system_error")
    assert feedback.give(failed(manager, engine, user_id).id, user_id, "system_error").feedback_type == "system_error"


WRONG: list[dict[str, Any]] = [
    {"feedback_type": "good"},
    {"feedback_type": None},
    {"item_id": ""},
    {"item_id": "x" * 201},
    {"item_id": "a\x00b"},
    {"item_id": 3},
    {"correction_made": 1},
    {"comment": ""},
    {"comment": "x" * 2001},
    {"comment": "a\x00b"},
    {"job_id": "1"},
    {"user_id": None},
]


@pytest.mark.parametrize("wrong", WRONG, ids=[f"{next(iter(one))} {number}" for number, one in enumerate(WRONG)])
def test_wrong_feedback_is_one_clear_error_and_nothing_is_written(
    feedback: ExtractionFeedback, manager: JobQueueManager, engine: Engine, user_id: UUID, wrong: dict[str, Any]
) -> None:
    job = completed(manager, engine, user_id)
    right: dict[str, Any] = {"job_id": job.id, "user_id": user_id, "feedback_type": "excellent"}
    with pytest.raises(InvalidInputError) as caught:
        feedback.give(**{**right, **wrong})
    assert next(iter(wrong)) in caught.value.message
    assert count(engine, "extraction_feedback") == 0


@given(comment=st.text(min_size=1, max_size=2000).filter(lambda value: "\x00" not in value))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_text_can_be_a_comment(
    feedback: ExtractionFeedback, manager: JobQueueManager, engine: Engine, user_id: UUID, comment: str
) -> None:
    job = completed(manager, engine, user_id, force=True)
    said = feedback.give(job.id, user_id, "menu_unclear", comment=comment)
    assert said.comment == comment.encode(errors="replace").decode()


def test_the_callers_transaction_decides(
    feedback: ExtractionFeedback, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = completed(manager, engine, user_id)
    with Session(engine) as session:
        feedback.give(job.id, user_id, "excellent", session=session)
        assert feedback.on_job(job.id) == []
        session.rollback()
    assert feedback.on_job(job.id) == []
    with Session(engine) as session:
        feedback.give(job.id, user_id, "excellent", session=session)
        session.commit()
    assert len(feedback.on_job(job.id)) == 1


def finished(manager: JobQueueManager, user_id: UUID, prompt: str, **outcome: Any) -> UUID:
    job = queued(manager, user_id, prompt_version=prompt)
    manager.mark_job_completed(job.id, RESULT, outcome["ms"], outcome.get("usage"), outcome["confidence"])
    return job.id


def test_the_figures_of_each_prompt_version(
    feedback: ExtractionFeedback, manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    usage = {"inputTokens": 100, "outputTokens": 20, "estimatedCost": 0.25}
    corrected = finished(manager, user_id, "v1.0", ms=1000, confidence=0.5, usage=usage)
    finished(manager, other_user_id, "v1.0", ms=3000, confidence=1.0, usage=usage)
    finished(manager, user_id, "v2.0", ms=10, confidence=0.25, usage={"inputTokens": "many", "estimatedCost": None})
    broken = queued(manager, user_id, prompt_version="v1.0")
    manager.mark_job_failed(broken.id, "No menu.")
    queued(manager, user_id, prompt_version="v1.0")
    manager.cancel_job(queued(manager, user_id, prompt_version="v1.0").id, user_id)
    # Two corrections are one corrected job; a remark without one and a correction of a failed job are none.
    feedback.give(corrected, user_id, "needs_improvement", correction_made=True)
    feedback.give(corrected, user_id, "needs_improvement", correction_made=True)
    feedback.give(broken.id, user_id, "system_error", correction_made=True)

    figures = feedback.figures()

    assert figures == [
        ExtractionFigures("v1.0", "stage1", 3, 2, 1, 0.75, 2000.0, 200, 40, 0.5, 2, 1, 0.5),
        ExtractionFigures("v2.0", "stage1", 1, 1, 0, 0.25, 10.0, None, None, None, 0, 0, 0.0),
    ]


def test_a_version_without_a_completed_job_has_no_means(
    feedback: ExtractionFeedback, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    failed(manager, engine, user_id)
    assert feedback.figures() == [
        ExtractionFigures("v1.0", "stage1", 1, 0, 1, None, None, None, None, None, 0, 0, None)
    ]


def test_the_command_prints_them(
    feedback: ExtractionFeedback, manager: JobQueueManager, settings: Settings, user_id: UUID
) -> None:
    finished(manager, user_id, "v1.0", ms=1500, confidence=0.5, usage={"inputTokens": 7, "estimatedCost": 0.125})
    environment = {"DATABASE_URL": settings.required_database_url}
    table = CliRunner().invoke(main, ["stats"], env=environment)
    assert table.exit_code == 0
    assert [word for word in table.stdout.split() if word.startswith(("v1", "stage", "1.5", "0.1250"))] == [
        "v1.0",
        "stage1",
        "1.50",
        "0.1250",
    ]
    answer = json.loads(CliRunner().invoke(main, ["stats", "--json"], env=environment).stdout)
    (version,) = answer["figures"]
    assert (version["promptVersion"], version["meanProcessingTime"], version["inputTokens"]) == ("v1.0", 1500.0, 7)


def test_where_the_database_knows_who_asks_everybody_speaks_of_their_own_jobs(empty_database_url: str) -> None:
    engine = create_database_engine(empty_database_url)
    role = f"somebody_{uuid4().hex}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"""
            CREATE SCHEMA auth;
            CREATE TABLE auth.users (id uuid PRIMARY KEY);
            CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE
                AS $$ SELECT nullif(current_setting('request.uid', true), '')::uuid $$;
            CREATE ROLE {role};
            GRANT USAGE ON SCHEMA auth, public TO {role};
        """)
    migrate(engine)
    mine, theirs, job = uuid4(), uuid4(), uuid4()
    add = text("INSERT INTO extraction_feedback (job_id, user_id, feedback_type) VALUES (:job, :user, 'excellent')")
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {role}")
            connection.execute(
                text("INSERT INTO auth.users VALUES (:mine), (:theirs)"), {"mine": mine, "theirs": theirs}
            )
            connection.execute(
                text("INSERT INTO menu_extraction_jobs (id, user_id, image_url) VALUES (:job, :mine, 'x')"),
                {"job": job, "mine": mine},
            )
            connection.execute(add, {"job": job, "user": mine})
        for user, seen in ((mine, 2), (theirs, 0)):
            with engine.begin() as connection:
                connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
                connection.execute(text("SELECT set_config('request.uid', :user, true)"), {"user": str(user)})
                if user == mine:
                    connection.execute(add, {"job": job, "user": user})
                else:
                    with pytest.raises(ProgrammingError, match="row-level security"), connection.begin_nested():
                        connection.execute(add, {"job": job, "user": user})
                assert connection.execute(text("SELECT count(*) FROM extraction_feedback")).scalar_one() == seen
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}; DROP ROLE {role}")
        engine.dispose()
