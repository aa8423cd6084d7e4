"""What workers say of themselves, and what follows from it beside the jobs that wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from jobqueue import JobQueueManager
from jobqueue.database import Database
from jobqueue.health import WorkerPresence
from jobqueue.store.queue_state import queue_state
from jobqueue.store.workers import known_workers, remove_worker
from tests.integration.jobs import claimed, queued, report_worker, requeue

T = TypeVar("T")


def run(engine: Engine, work: Callable[[Connection], T]) -> T:
    return Database(engine).run(work)


def say(engine: Engine, name: str, *, begins: bool = False, received_age: float | None = None) -> None:
    report_worker(engine, name, begins=begins, received_age=received_age)


def known(engine: Engine) -> dict[str, WorkerPresence]:
    return {one.name: one for one in run(engine, known_workers)}


def silent_for(engine: Engine, name: str, seconds: float) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE menu_extraction_workers SET seen_at = seen_at - make_interval(secs => :s), "
                "started_at = started_at - make_interval(secs => :s) WHERE name = :name"
            ),
            {"s": seconds, "name": name},
        )


def test_a_worker_that_spoke_is_known_until_it_leaves(engine: Engine) -> None:
    say(engine, "celery@a", begins=True, received_age=12)
    say(engine, "celery@b")
    seen = known(engine)
    assert set(seen) == {"celery@a", "celery@b"}
    assert seen["celery@a"].received_ago == pytest.approx(12, abs=5)
    assert seen["celery@a"].seen_ago < 5
    silent_for(engine, "celery@b", 40)
    seen = known(engine)
    assert {name: worker.is_there for name, worker in seen.items()} == {"celery@a": True, "celery@b": False}
    assert seen["celery@b"].received_ago >= 40
    run(engine, lambda c: remove_worker(c, "celery@a"))
    assert set(known(engine)) == {"celery@b"}


def test_a_worker_that_is_asked_to_stop_is_known_for_that(engine: Engine) -> None:
    say(engine, "celery@a")
    assert not known(engine)["celery@a"].stopping
    report_worker(engine, "celery@a", stopping=True)
    assert known(engine)["celery@a"].stopping
    say(engine, "celery@a", begins=True)
    assert not known(engine)["celery@a"].stopping


def test_speaking_again_keeps_the_start_and_starting_again_sets_it(engine: Engine) -> None:
    say(engine, "celery@a", begins=True)
    silent_for(engine, "celery@a", 100)
    say(engine, "celery@a")
    assert known(engine)["celery@a"].received_ago >= 100
    say(engine, "celery@a", begins=True)
    assert known(engine)["celery@a"].received_ago < 30


def test_a_worker_that_was_silent_for_an_hour_is_forgotten_by_whoever_speaks_next(engine: Engine) -> None:
    for name, seconds in (("celery@old", 3700), ("celery@late", 3500)):
        say(engine, name)
        silent_for(engine, name, seconds)
    say(engine, "celery@a")
    assert set(known(engine)) == {"celery@a", "celery@late"}


def test_a_worker_has_the_jobs_of_its_own_processes(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    for name in ("celery@a", "celery@ab"):
        say(engine, name)
    for worker in ("celery@a/1", "celery@a/2", "celery@ab/1"):
        claimed(engine, queued(manager, user_id).id, worker=worker)
    claimed(engine, queued(manager, user_id).id, worker="celery@a/3", lease_seconds=-1)
    assert {name: one.holds for name, one in known(engine).items()} == {"celery@a": 2, "celery@ab": 1}


def test_the_oldest_due_job_is_neither_running_nor_waiting_for_its_time(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    def oldest() -> float | None:
        return run(engine, queue_state).oldest_due

    assert oldest() is None
    due, later, running = (queued(manager, user_id) for _ in range(3))
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_jobs SET created_at = created_at - interval '90 s'"))
        connection.execute(
            text("UPDATE menu_extraction_jobs SET created_at = created_at - interval '90 s' WHERE id = :id"),
            {"id": running.id},
        )
    claimed(engine, running.id)
    claimed(engine, later.id)
    requeue(engine, later.id, 1, delay_seconds=60)
    assert oldest() == pytest.approx(90, abs=10)
    claimed(engine, due.id)
    assert oldest() is None
