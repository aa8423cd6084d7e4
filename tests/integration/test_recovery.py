"""Finding jobs that nobody works on any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest
import redis
from celery import Celery
from sqlalchemy import Engine, text

from jobqueue import JobQueueManager
from jobqueue.database import Database
from jobqueue.store.leadership import LeadLostError
from jobqueue.store.recovery import begin_waiting_again, overdue_jobs, overtaken_jobs, reap_expired_leases
from jobqueue.store.relay_state import relay_state
from tests.eventually import eventually
from tests.integration.event_numbering import lead
from tests.integration.jobs import LIMITS, claimed, completed, current, queued, reap, requeue, row
from worker.notifier.dispatcher import Dispatcher
from worker.notifier.sweeper import Sweeper, seconds_for_renewals


def expire_leases(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE menu_extraction_jobs SET lease_expires_at = clock_timestamp() - interval '1 ms' "
                "WHERE status = 'processing'"
            )
        )


def overdue(engine: Engine, grace_seconds: float, batch: int = 100) -> list[UUID]:
    return Database(engine).run(lambda c: overdue_jobs(c, grace_seconds, batch))


def test_a_job_whose_lease_ran_out_is_queued_again_and_due_at_once(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    lost, alive = queued(manager, user_id), queued(manager, user_id)
    claimed(engine, lost.id)
    expire_leases(engine)
    claimed(engine, alive.id)
    completed(manager, engine, user_id)
    assert [(one.id, one.attempt, one.status) for one in reap(engine)] == [(lost.id, 1, "queued")]
    found = row(engine, lost.id)
    assert (found["status"], found["error_code"], found["lease_expires_at"]) == ("queued", "WORKER_LOST", None)
    assert claimed(engine, lost.id).attempt == 2
    assert current(manager, alive.id).status == "processing"
    assert reap(engine) == []


def test_the_fourth_lost_attempt_fails_the_job_with_a_reason(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    outcomes = []
    for attempt in (1, 2, 3, 4):
        assert claimed(engine, job.id).attempt == attempt
        expire_leases(engine)
        outcomes += [one.status.value for one in reap(engine)]
    assert outcomes == ["queued", "queued", "queued", "failed"]
    ended = current(manager, job.id)
    assert (ended.status, ended.error_code, ended.attempt) == ("failed", "WORKER_LOST", 4)
    assert ended.error is not None
    assert "4 of 4" in ended.error
    assert [one.status.value for one in manager.job_history(job.id)].count("processing") == 4


@pytest.mark.parametrize(("age_at_last_renewal", "code"), [(119, "WORKER_LOST"), (121, "TIMEOUT")])
def test_an_attempt_that_went_on_beyond_the_time_limit_was_ended_for_that(
    manager: JobQueueManager, engine: Engine, user_id: UUID, age_at_last_renewal: int, code: str
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE menu_extraction_jobs SET lease_expires_at = clock_timestamp() - interval '1 s', "
                "started_at = clock_timestamp() - make_interval(secs => 1 + :lease + :age)"
            ),
            {"lease": LIMITS.lease_seconds, "age": age_at_last_renewal},
        )
    reap(engine)
    assert (current(manager, job.id).status, current(manager, job.id).error_code) == ("queued", code)


def test_lost_and_failed_attempts_share_one_count(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    for attempt in (1, 2):
        claimed(engine, job.id)
        requeue(engine, job.id, attempt)
    for status in ("queued", "failed"):
        claimed(engine, job.id)
        expire_leases(engine)
        assert [one.status for one in reap(engine)] == [status]


def test_the_lost_workers_answer_comes_too_late(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    expire_leases(engine)
    reap(engine)
    assert not requeue(engine, job.id, 1)
    assert current(manager, job.id).error_code == "WORKER_LOST"


def test_two_sweepers_do_not_wait_for_each_other_and_reap_a_job_once(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    expire_leases(engine)
    with engine.connect() as first:
        assert len(reap_expired_leases(first, 0, 100, LIMITS)) == 1
        with engine.connect() as second:
            second.execute(text("SET lock_timeout = '1s'"))
            assert reap_expired_leases(second, 0, 100, LIMITS) == []
        first.commit()
    assert [one.seq for one in manager.job_history(job.id)] == [1, 2, 3]


def test_a_worker_that_finishes_while_the_sweeper_looks_keeps_its_result(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    expire_leases(engine)
    with engine.connect() as worker:
        worker.execute(text("""UPDATE menu_extraction_jobs SET status = 'completed', result = '{"menu": {}}'"""))
        assert reap(engine) == []
        worker.commit()
    assert current(manager, job.id).status == "completed"


def test_leases_are_reaped_in_batches_oldest_first(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    jobs = [queued(manager, user_id) for _ in range(3)]
    for job in jobs:
        claimed(engine, job.id)
    with engine.begin() as connection:
        for seconds, job in zip((20, 30, 10), jobs, strict=True):
            connection.execute(
                text(
                    "UPDATE menu_extraction_jobs SET lease_expires_at = clock_timestamp() - make_interval(secs => :s) "
                    "WHERE id = :id"
                ),
                {"s": seconds, "id": job.id},
            )
    assert {one.id for one in reap(engine, 2)} == {jobs[1].id, jobs[0].id}
    assert [one.id for one in reap(engine, 2)] == [jobs[2].id]


def test_overdue_are_those_that_are_due_for_longer_than_the_grace(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    old, older, fresh, waiting, running = (queued(manager, user_id) for _ in range(5))
    claimed(engine, waiting.id)
    requeue(engine, waiting.id, 1, delay_seconds=60)
    claimed(engine, running.id)
    with engine.begin() as connection:
        for seconds, job in ((10, old), (20, older), (10, running)):
            connection.execute(
                text(
                    "UPDATE menu_extraction_jobs SET run_after = clock_timestamp() - make_interval(secs => :s) "
                    "WHERE id = :id"
                ),
                {"s": seconds, "id": job.id},
            )
    assert overdue(engine, 5) == [older.id, old.id]
    assert overdue(engine, 5, batch=1) == [older.id]
    assert fresh.id in overdue(engine, 0)


def due_since(engine: Engine, job_id: UUID, seconds: float) -> None:
    """Let the job have been submitted, and due, this long ago."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE menu_extraction_jobs SET run_after = moment, created_at = moment "
                "FROM (SELECT clock_timestamp() - make_interval(secs => :s) AS moment) AS past WHERE id = :id"
            ),
            {"s": seconds, "id": job_id},
        )


def overtaken(engine: Engine, grace_seconds: float = 5) -> list[UUID]:
    return Database(engine).run(lambda c: overtaken_jobs(c, grace_seconds, 100))


def test_overtaken_are_those_due_before_a_job_in_hand_was_submitted(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    lost, in_line, in_hand, retried = (queued(manager, user_id) for _ in range(4))
    for job, seconds in ((lost, 40), (in_hand, 30), (in_line, 28), (retried, 1)):
        due_since(engine, job.id, seconds)
    assert overtaken(engine) == []
    claimed(engine, in_hand.id)
    assert overtaken(engine) == [lost.id]
    assert overtaken(engine, grace_seconds=15) == []
    # A later attempt may run on an old message, so it does not tell where the queue is.
    claimed(engine, retried.id)
    requeue(engine, retried.id, 1)
    claimed(engine, retried.id)
    assert overtaken(engine) == [lost.id]


def test_a_lost_message_is_sent_again_although_others_wait_and_only_once(
    manager: JobQueueManager, engine: Engine, user_id: UUID, redis_client: redis.Redis, redis_url: str
) -> None:
    app = Celery(broker=redis_url, set_as_current=False)
    dispatcher = Dispatcher(app)
    sweeper = Sweeper(Database(engine), dispatcher, lead(engine), LIMITS)
    lost, in_hand, in_line = (queued(manager, user_id) for _ in range(3))
    for job, seconds in ((lost, 40), (in_hand, 30), (in_line, 28)):
        due_since(engine, job.id, seconds)
    claimed(engine, in_hand.id)
    dispatcher.dispatch([in_line.id])
    for _round in range(2):
        eventually(sweeper.sweep, what="a round of the sweeper")
        waiting = [str(message) for message in redis_client.lrange(app.conf.task_default_queue, 0, -1)]
        assert len(waiting) == 2
        assert str(lost.id) in waiting[0]
    dispatcher.close()
    app.close()


def test_waiting_begins_again_for_queued_jobs_only(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    waiting, running = queued(manager, user_id), queued(manager, user_id)
    for job in (waiting, running):
        due_since(engine, job.id, 10)
    claimed(engine, running.id)
    before = row(engine, running.id)["run_after"]
    Database(engine).run(lambda c: begin_waiting_again(c, 0, [waiting.id, running.id]))
    assert overdue(engine, 5) == []
    assert claimed(engine, waiting.id).attempt == 1
    assert row(engine, running.id)["run_after"] == before


@pytest.fixture
def dispatcher(redis_url: str) -> Iterator[Dispatcher]:
    app = Celery(broker=redis_url, set_as_current=False)
    made = Dispatcher(app)
    yield made
    made.close()
    app.close()


def swept(engine: Engine, dispatcher: Dispatcher, rounds: int = 1) -> None:
    sweeper = Sweeper(Database(engine), dispatcher, replace(lead(engine), unled_seconds=0.0), LIMITS)
    for _round in range(rounds):
        eventually(sweeper.sweep, what="a round of the sweeper")


def test_a_job_that_cannot_be_taken_back_keeps_no_other_from_it_and_is_told_once(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    dispatcher: Dispatcher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = queued(manager, user_id), queued(manager, user_id)
    for job in (bad, good):
        claimed(engine, job.id)
    expire_leases(engine)
    with engine.begin() as connection:  # somebody has written the event that would be next
        connection.execute(
            text(
                "INSERT INTO menu_extraction_job_events (job_id, seq, user_id, status, attempt, at) "
                "VALUES (:id, 3, :user, 'queued', 1, now())"
            ),
            {"id": bad.id, "user": user_id},
        )
    swept(engine, dispatcher, rounds=2)
    assert (current(manager, bad.id).status, current(manager, good.id).status) == ("processing", "queued")
    assert len([one for one in caplog.messages if str(bad.id) in one]) == 1


def test_a_job_that_somebody_holds_locked_does_not_stop_the_sweeper(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    other_user_id: UUID,
    dispatcher: Dispatcher,
    redis_client: redis.Redis,
) -> None:
    locked, free, lost = queued(manager, other_user_id), queued(manager, user_id), queued(manager, user_id)
    for job in (locked, free):
        due_since(engine, job.id, 60)
    claimed(engine, lost.id)
    expire_leases(engine)
    with engine.connect() as deleting:
        deleting.execute(text("DELETE FROM auth.users WHERE id = :id"), {"id": other_user_id})
        swept(engine, dispatcher)
        waiting = [str(message) for message in redis_client.lrange("celery", 0, -1)]
        deleting.rollback()
    assert [str(free.id) in one for one in waiting] == [True]
    assert current(manager, lost.id).status == "queued"
    state = Database(engine).run(relay_state)
    assert state.swept_seconds_ago is not None


def test_a_sweeper_that_lost_the_lead_says_so_and_records_nothing(engine: Engine, dispatcher: Dispatcher) -> None:
    sweeper = Sweeper(Database(engine), dispatcher, lead(engine), LIMITS)
    lead(engine)
    with pytest.raises(LeadLostError):
        sweeper.sweep()
    assert Database(engine).run(relay_state).swept_at is None


@pytest.mark.parametrize(
    ("unled", "lease", "expected"),
    [(0.1, 10, 0), (3.3, 10, 0), (3.4, 10, 5), (60, 10, 5), (None, 10, 5), (1, 1.5, 0.75)],
)
def test_workers_get_the_time_to_renew_after_an_outage_and_only_then(
    unled: float | None, lease: float, expected: float
) -> None:
    assert seconds_for_renewals(unled, lease) == expected
