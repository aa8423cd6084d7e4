"""``jobqueue prune``: what it deletes, prints and refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine

from jobqueue import JobQueueManager
from tests.command_line import CommandLine, error_of
from tests.integration.jobs import completed
from tests.integration.pruned import exists, made_old, publish_all


@pytest.fixture
def old_job(manager: JobQueueManager, engine: Engine, user_id: UUID) -> UUID:
    job = completed(manager, engine, user_id)
    completed(manager, engine, user_id)
    publish_all(engine)
    made_old(engine, job.id, datetime.now(UTC) - timedelta(days=100))
    return job.id


def test_it_deletes_what_is_older_and_says_how_much(run: CommandLine, engine: Engine, old_job: UUID) -> None:
    assert run("prune", "--older-than", 101).stdout == "Deleted 0 jobs and 0 events.\n"
    assert run("prune", "--older-than", 99, "--dry-run").stdout == "Would delete 1 jobs and 3 events.\n"
    assert exists(engine, old_job)
    result = run("prune", "--older-than", 99)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Deleted 1 jobs and 3 events.\n", "")
    assert not exists(engine, old_job)


def test_machines_get_an_object(run: CommandLine, old_job: UUID) -> None:
    answer = {"success": True, "jobs": 1, "events": 3, "olderThanDays": 99}
    assert run.json("prune", "--older-than", 99, "--dry-run") == {**answer, "dryRun": True}
    assert run.json("prune", "--older-than", 99) == {**answer, "dryRun": False}


def test_the_setting_is_the_default_and_without_it_nothing_is_guessed(
    run: CommandLine, engine: Engine, old_job: UUID
) -> None:
    result = run("prune")
    assert (result.exit_code, exists(engine, old_job)) == (2, True)
    assert "--older-than" in error_of(result)
    assert "JOBQUEUE_RETENTION_DAYS" in error_of(result)
    assert run("prune", JOBQUEUE_RETENTION_DAYS="").exit_code == 2
    assert "1 jobs" in run("prune", JOBQUEUE_RETENTION_DAYS="99").stdout


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "x", "1000000"])
def test_days_that_are_none_are_refused(run: CommandLine, engine: Engine, old_job: UUID, days: str) -> None:
    assert run("prune", "--older-than", days).exit_code == 2
    assert "JOBQUEUE_RETENTION_DAYS" in error_of(run("prune", JOBQUEUE_RETENTION_DAYS=days))
    assert exists(engine, old_job)
