"""What workers say of themselves, and what follows from it beside the jobs that wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from jobqueue import JobQueueManager
from jobqueue.database import Database
from jobqueue.store.workers import LivingWorker, living_workers, oldest_due_job_age, record_worker, remove_worker
from tests.integration.jobs import claimed, queued, requeue

T = TypeVar("T")


def run(engine: Engine, work: Callable[[Connection], T]) -> T:
    return Database(engine).run(work)


def say(engine: Engine, name: str, *, begins: bool = False, received_age: float | None = None) -> None:
    run(engine, lambda c: record_worker(c, name, begins=begins, consuming=True, received_age=received_age))


def living(engine: Engine, within: float = 30) -> dict[str, LivingWorker]:
    return {one.name: one for one in run(engine, lambda c: living_workers(c, within))}


def silent_for(engine: Engine, name: str, seconds: float) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE menu_extraction_workers SET seen_at = seen_at - make_interval(secs => :s), "
                "started_at = started_at - make_interval(secs => :s) WHERE name = :name"
            ),
            {"s": seconds, "name": name},
        )


def test_a_worker_that_spoke_is_seen_until_it_leaves(engine: Engine) -> None:
    say(engine, "celery@a", begins=True, received_age=12)
    say(engine, "celery@b")
    seen = living(engine)
    assert set(seen) == {"celery@a", "celery@b"}
    assert seen["celery@a"].received_age == pytest.approx(12, abs=5)
    assert seen["celery@a"].seen_age < 5
    assert seen["celery@b"].received_age is None
    silent_for(engine, "celery@b", 40)
    assert set(living(engine)) == {"celery@a"}
    run(engine, lambda c: remove_worker(c, "celery@a"))
    assert living(engine) == {}
    assert set(living(engine, 60)) == {"celery@b"}


def test_speaking_again_keeps_the_start_and_starting_again_sets_it(engine: Engine) -> None:
    say(engine, "celery@a", begins=True)
    silent_for(engine, "celery@a", 100)
    started = living(engine, 200)["celery@a"].started_at
    say(engine, "celery@a")
    assert living(engine)["celery@a"].started_at == started
    say(engine, "celery@a", begins=True)
    assert living(engine)["celery@a"].started_at > started


def test_a_worker_that_was_silent_for_an_hour_is_forgotten_by_whoever_speaks_next(engine: Engine) -> None:
    for name, seconds in (("celery@old", 3700), ("celery@late", 3500)):
        say(engine, name)
        silent_for(engine, name, seconds)
    say(engine, "celery@a")
    assert set(living(engine, 10_000)) == {"celery@a", "celery@late"}


def test_a_worker_has_the_jobs_of_its_own_processes(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    for name in ("celery@a", "celery@ab"):
        say(engine, name)
    for worker in ("celery@a/1", "celery@a/2", "celery@ab/1"):
        claimed(engine, queued(manager, user_id).id, worker=worker)
    claimed(engine, queued(manager, user_id).id, worker="celery@a/3", lease_seconds=-1)
    assert {name: one.jobs for name, one in living(engine).items()} == {"celery@a": 2, "celery@ab": 1}


def test_the_oldest_due_job_is_neither_running_nor_waiting_for_its_time(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    assert run(engine, oldest_due_job_age) is None
    due, later, running = (queued(manager, user_id) for _ in range(3))
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_jobs SET run_after = run_after - interval '90 s'"))
        connection.execute(
            text("UPDATE menu_extraction_jobs SET run_after = run_after - interval '90 s' WHERE id = :id"),
            {"id": running.id},
        )
    claimed(engine, running.id)
    claimed(engine, later.id)
    requeue(engine, later.id, 1, delay_seconds=60)
    assert run(engine, oldest_due_job_age) == pytest.approx(90, abs=10)
    claimed(engine, due.id)
    assert run(engine, oldest_due_job_age) is None


@pytest.mark.parametrize(
    ("received_age", "jobs", "oldest_due_age", "verdict"),
    [
        (None, 0, 61.0, True),
        (300.0, 0, 61.0, True),
        (10.0, 0, 61.0, False),
        (300.0, 1, 61.0, False),
        (300.0, 0, 59.0, False),
        (300.0, 0, None, False),
    ],
)
def test_a_worker_is_idle_while_jobs_wait(
    engine: Engine, received_age: float | None, jobs: int, oldest_due_age: float | None, verdict: bool
) -> None:
    say(engine, "celery@a")
    seen = living(engine)["celery@a"]
    worker = LivingWorker(seen.name, seen.started_at, 1.0, True, received_age, jobs)
    assert worker.is_idle_while_jobs_wait(oldest_due_age, 60) is verdict
