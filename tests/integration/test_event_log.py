"""The one order of all events: cursors that grow in commit order, whatever dies in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from jobqueue import JobQueueManager
from jobqueue.database import Database
from jobqueue.store.event_log import current_cursor, number_pending, published_cursor, unpublished
from tests.eventually import eventually
from tests.integration.event_numbering import INSERT, log, number, number_all
from tests.integration.jobs import claimed, complete, queued, waiting_for_locks


def test_events_are_numbered_in_order_and_once(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    other = queued(manager, user_id)
    numbered = number_all(engine)
    assert [(one.job_id, one.seq, one.cursor) for one in numbered] == [(job.id, 1, 1), (job.id, 2, 2), (other.id, 1, 3)]
    assert number_all(engine) == []
    complete(engine, job.id, 1)
    assert [(one.seq, one.cursor) for one in number_all(engine)] == [(3, 4)]
    assert Database(engine).run(current_cursor) == 4


def test_numbering_takes_the_oldest_first_in_batches(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    jobs = [queued(manager, user_id).id for _ in range(5)]
    batches = [Database(engine).run(lambda c: number(c, 2)) for _ in range(3)]
    assert [[one.job_id for one in batch] for batch in batches] == [jobs[0:2], jobs[2:4], jobs[4:]]
    assert [one.cursor for batch in batches for one in batch] == [1, 2, 3, 4, 5]


def test_a_transaction_that_commits_late_gets_a_later_cursor_and_is_not_skipped(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    with engine.connect() as slow:
        slow_job = slow.execute(INSERT, {"user": user_id}).scalar_one()
        quick = queued(manager, user_id)
        assert [(one.job_id, one.cursor) for one in number_all(engine)] == [(quick.id, 1)]
        seen = log(engine, user_id)[-1].cursor
        slow.commit()
    assert log(engine, user_id, after=seen) == []
    number_all(engine)
    assert [(one.job_id, one.cursor) for one in log(engine, user_id, after=seen)] == [(slow_job, 2)]


def test_a_rolled_back_change_leaves_no_gap(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    with engine.connect() as doomed:
        doomed.execute(INSERT, {"user": user_id})
        queued(manager, user_id)
        doomed.rollback()
    queued(manager, user_id)
    assert [one.cursor for one in number_all(engine)] == [1, 2]


def test_events_that_a_deletion_holds_locked_stop_nobody_elses(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    doomed, kept = queued(manager, other_user_id), queued(manager, user_id)
    with engine.connect() as deleting:
        deleting.execute(text("DELETE FROM auth.users WHERE id = :id"), {"id": other_user_id})
        assert [(one.job_id, one.cursor) for one in number_all(engine)] == [(kept.id, 1)]
        deleting.rollback()
    assert [(one.job_id, one.cursor) for one in number_all(engine)] == [(doomed.id, 2)]


@pytest.mark.parametrize("batch", [1, 2, 100], ids=lambda batch: f"batch_{batch}")
def test_a_later_event_of_a_job_is_never_numbered_before_an_earlier_one_that_is_locked(
    manager: JobQueueManager, engine: Engine, user_id: UUID, batch: int
) -> None:
    jobs = [queued(manager, user_id) for _ in range(3)]
    for job in jobs:
        claimed(engine, job.id)
        complete(engine, job.id, 1)
    free = queued(manager, user_id)

    def everything() -> list[tuple[UUID, int]]:
        found: list[tuple[UUID, int]] = []
        while events := Database(engine).run(lambda c: number(c, batch)):
            found += [(one.job_id, one.seq) for one in events]
        return found

    with engine.connect() as other:
        other.execute(
            text("SELECT FROM menu_extraction_job_events WHERE job_id <> :id AND seq = 2 FOR UPDATE"),
            {"id": jobs[1].id},
        )
        before = everything()
        assert set(before) == {
            (jobs[0].id, 1), (jobs[1].id, 1), (jobs[1].id, 2), (jobs[1].id, 3), (jobs[2].id, 1), (free.id, 1),
        }  # fmt: skip
        other.rollback()
    assert set(everything()) == {(jobs[0].id, 2), (jobs[0].id, 3), (jobs[2].id, 2), (jobs[2].id, 3)}
    for job in jobs:
        assert [one.seq for one in log(engine, user_id) if one.job_id == job.id] == [1, 2, 3]


def test_of_two_relays_one_waits_and_numbers_only_what_the_other_left(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    first_job = queued(manager, user_id)
    with engine.connect() as first, ThreadPoolExecutor(1) as second:
        assert [one.job_id for one in number(first)] == [first_job.id]
        late_job = queued(manager, user_id)
        late = second.submit(number_all, engine)
        eventually(lambda: waiting_for_locks(engine) == 1, what="the second relay waiting")
        first.commit()
        (numbered,) = late.result(timeout=10)
    assert numbered.job_id == late_job.id
    assert numbered.cursor > 1


def test_many_relays_and_writers_at_once_number_every_event_exactly_once(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    def write(_number: int) -> None:
        job = queued(manager, user_id)
        claimed(engine, job.id)
        complete(engine, job.id, 1)

    with ThreadPoolExecutor(8) as threads:
        writers = [threads.submit(write, number) for number in range(20)]
        relays = [threads.submit(number_all, engine) for _ in range(40)]
        numbered = [one for relay in relays for one in relay.result()]
        for writer in writers:
            writer.result()
    numbered += number_all(engine)
    assert len({(one.job_id, one.seq) for one in numbered}) == len({one.cursor for one in numbered}) == 60
    assert Database(engine).run(current_cursor) == max(one.cursor for one in numbered)
    for job in {one.job_id for one in numbered}:
        history = [one.seq for one in log(engine, user_id) if one.job_id == job]
        assert history == [1, 2, 3]


def test_the_published_mark_never_moves_back(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    for _ in range(3):
        queued(manager, user_id)
    number_all(engine)
    database = Database(engine)
    database.run(lambda c: number_pending(c, 0, 2, 10))
    database.run(lambda c: number_pending(c, 0, 1, 10))
    assert database.run(published_cursor) == 2
    assert [one.cursor for one in database.run(lambda c: unpublished(c, 2, 10))] == [3]


def test_a_users_log_holds_nobody_elses_events(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    mine = queued(manager, user_id)
    queued(manager, other_user_id)
    number_all(engine)
    assert [one.job_id for one in log(engine, user_id)] == [mine.id]
