"""Cursors behind which events were pruned: whoever resumes there is told, and goes on without a gap."""

from __future__ import annotations

import json
import pickle
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, text

from jobqueue import (
    CursorExpiredError,
    ExtractionJob,
    JobEvent,
    JobQueueManager,
    Settings,
    async_listener,
    event_stream,
)
from jobqueue import replay as replay_policy
from jobqueue.database import Database, create_database_engine
from jobqueue.store.event_log import events_after
from tests.command_line import CommandLine, error_of
from tests.eventually import eventually
from tests.integration.event_numbering import log
from tests.integration.jobs import claimed, complete, completed, queued
from tests.integration.pruned import pruned, publish_all
from tests.listener_sides import Inbox, Notifier, Side, many_jobs

pytestmark = pytest.mark.usefixtures("no_regular_look_into_the_log")


@pytest.fixture
def three_events_pruned(manager: JobQueueManager, engine: Engine, user_id: UUID) -> ExtractionJob:
    """Cursors 1 to 3 are gone; the job of 4 is returned and still waits."""
    completed(manager, engine, user_id)
    kept = queued(manager, user_id)
    publish_all(engine)
    assert pruned(engine) == (1, 3)
    return kept


@pytest.mark.parametrize("after", [0, 1, 2])
def test_resuming_before_pruned_events_raises_with_the_jobs_as_they_stand(
    side: Side, three_events_pruned: ExtractionJob, user_id: UUID, after: int
) -> None:
    for resume in (side.events, lambda user, cursor: side.subscribe(user, Inbox(), cursor)):
        with pytest.raises(CursorExpiredError) as caught:
            resume(user_id, after)
        error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
        assert (error.code, error.cursor, error.more) == ("CURSOR_EXPIRED", 4, False)
        assert error.jobs == [three_events_pruned]


def test_behind_the_pruned_events_everything_is_replayed(
    side: Side, three_events_pruned: ExtractionJob, user_id: UUID
) -> None:
    events = side.events(user_id, 3)
    assert events.next().job_id == three_events_pruned.id


def test_whose_events_are_all_kept_is_told_nothing(
    side: Side, three_events_pruned: ExtractionJob, manager: JobQueueManager, engine: Engine, other_user_id: UUID
) -> None:
    deleted, kept = queued(manager, other_user_id), queued(manager, other_user_id)
    publish_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM menu_extraction_jobs WHERE id = :id"), {"id": deleted.id})
    assert side.events(other_user_id, 0).next().job_id == kept.id


def test_from_the_errors_cursor_everything_later_arrives(
    side: Side,
    three_events_pruned: ExtractionJob,
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    notifier: Notifier,
) -> None:
    unnumbered = queued(manager, user_id)  # in the snapshot already, and its event comes behind the cursor
    with pytest.raises(CursorExpiredError) as caught:
        side.events(user_id, 0)
    assert [job.id for job in caught.value.jobs] == [unnumbered.id, three_events_pruned.id]
    inbox = Inbox()
    side.subscribe(user_id, inbox, caught.value.cursor)
    claimed(engine, three_events_pruned.id)
    notifier.relay()
    inbox.wait_for(2)
    assert {(one.job_id, one.status.value) for one in inbox.events} == {
        (unnumbered.id, "queued"),
        (three_events_pruned.id, "processing"),
    }


def test_what_happens_between_the_two_looks_of_a_snapshot_is_not_missed(
    three_events_pruned: ExtractionJob, engine: Engine, settings: Settings, user_id: UUID
) -> None:
    """The snapshot is read with the cursor first: a change in between comes behind the cursor or in the jobs."""
    statements: list[str] = []

    def change(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)
        if len(statements) == 3:
            with ThreadPoolExecutor(1) as thread:
                thread.submit(claimed, own, three_events_pruned.id).result(timeout=10)
                thread.submit(publish_all, own).result(timeout=10)

    own = create_database_engine(settings.required_database_url)
    event.listen(engine, "before_cursor_execute", change)
    try:
        with pytest.raises(CursorExpiredError) as caught:
            Database(engine).statement(lambda connection: events_after(connection, user_id, 0, 10))
    finally:
        event.remove(engine, "before_cursor_execute", change)
    later = Database(own).statement(lambda connection: events_after(connection, user_id, caught.value.cursor, 10))
    own.dispose()
    assert len(statements) == 3
    assert [one.status.value for one in later] == ["processing"]


def test_the_snapshot_is_bounded_and_pages_on(
    side: Side, three_events_pruned: ExtractionJob, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    many_jobs(engine, user_id, 130)
    with pytest.raises(CursorExpiredError) as caught:
        side.events(user_id, 0)
    error = caught.value
    assert (len(error.jobs), error.more) == (100, True)
    rest = manager.list_user_jobs(user_id, before=error.jobs[-1], limit=1000)
    assert len({job.id for job in [*error.jobs, *rest]}) == 131


@pytest.fixture
def two_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (replay_policy, event_stream, async_listener):
        monkeypatch.setattr(module, "PAGE", 2)


@pytest.mark.usefixtures("two_a_page")
def test_an_iteration_that_falls_behind_is_told_and_goes_on_behind_the_snapshot(
    side: Side, manager: JobQueueManager, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    finished, waiting = completed(manager, engine, user_id), queued(manager, user_id)
    publish_all(engine)
    events = side.events(user_id, 0)
    assert events.next().cursor == 1
    assert pruned(engine) == (1, 3)
    assert events.next().cursor == 2  # was in its hands already
    with pytest.raises(CursorExpiredError) as caught:
        events.next()
    assert (caught.value.cursor, [job.id for job in caught.value.jobs]) == (4, [waiting.id])
    claimed(engine, waiting.id)
    notifier.relay()
    following = events.next()
    assert (following.job_id, following.cursor) == (waiting.id, 5)
    assert finished.id != waiting.id


@pytest.mark.usefixtures("two_a_page")
@pytest.mark.parametrize("wants_to_know", [True, False])
def test_a_callback_that_falls_behind_is_told_by_another_or_by_the_log(
    side: Side,
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    notifier: Notifier,
    caplog: pytest.LogCaptureFixture,
    wants_to_know: bool,
) -> None:
    completed(manager, engine, user_id)
    waiting = queued(manager, user_id)
    publish_all(engine)
    begun, may_go_on = threading.Event(), threading.Event()
    inbox, told = Inbox(), list[CursorExpiredError]()

    def slow(one: JobEvent) -> None:
        begun.set()
        may_go_on.wait(30)
        inbox(one)

    def tell(error: CursorExpiredError) -> None:
        told.append(error)
        raise ZeroDivisionError  # is logged and ends nothing

    side.subscribe(user_id, slow, 0, tell if wants_to_know else None)
    assert begun.wait(20)
    assert pruned(engine) == (1, 3)
    may_go_on.set()
    eventually(lambda: told or "goes on behind cursor 4" in caplog.text, what="the news")
    claimed(engine, waiting.id)
    notifier.relay()
    assert inbox.wait_for(3) == [1, 2, 5]
    assert [(one.cursor, [job.id for job in one.jobs]) for one in told] == [(4, [waiting.id])] * wants_to_know
    assert ("goes on behind cursor 4" in caplog.text) is not wants_to_know


def restored(engine: Engine, cursor: int) -> None:
    """As from a backup of when ``cursor`` was the newest: what came behind it never happened."""
    with engine.begin() as connection:
        connection.execute(
            text("""
                DELETE FROM menu_extraction_jobs WHERE id IN
                    (SELECT job_id FROM menu_extraction_job_events WHERE cursor > :cursor)
            """),
            {"cursor": cursor},
        )
        connection.execute(
            text("UPDATE menu_extraction_relay SET published_cursor = :cursor, last_cursor = :cursor"),
            {"cursor": cursor},
        )


def test_resuming_beyond_the_end_of_the_log_raises_with_the_jobs_as_they_stand(
    side: Side, manager: JobQueueManager, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    job = queued(manager, user_id)
    newest = publish_all(engine)
    with pytest.raises(CursorExpiredError, match="restored") as caught:
        side.events(user_id, newest + 1)
    assert (caught.value.cursor, caught.value.jobs, caught.value.more) == (newest, [job], False)
    events = side.events(user_id, newest)
    claimed(engine, job.id)
    notifier.relay()
    assert events.next().cursor == newest + 1


def test_a_subscription_is_told_when_the_database_is_restored(
    side: Side, manager: JobQueueManager, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    """It has had no event yet, so it cannot tell an old one from a new one by itself."""
    kept, *_lost = [queued(manager, user_id) for _ in range(5)]
    notifier.number()
    inbox, told = Inbox(), list[CursorExpiredError]()
    side.subscribe(user_id, inbox, on_expired=told.append)
    restored(engine, 1)
    claimed(engine, kept.id)
    notifier.relay()
    eventually(lambda: told, what="the news")
    complete(engine, kept.id, 1)
    notifier.relay()
    # It may have looked into the log on its own between the restore and the claim: what came behind that must follow.
    seen = told[0].cursor
    assert seen in {1, 2}
    assert [job.id for job in told[0].jobs] == [kept.id]
    assert inbox.wait_for(3 - seen) == list(range(seen + 1, 4))
    assert inbox.events[-1].status.value == "completed"
    assert len(told) == 1


@pytest.mark.parametrize("lost", [2, 3], ids=["another_event_at_a_known_cursor", "an_event_where_there_was_none"])
def test_a_subscription_is_told_also_when_the_numbers_have_passed_its_own_again(
    side: Side,
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    other_user_id: UUID,
    notifier: Notifier,
    lost: int,
) -> None:
    """A fail-over loses a few events and the notifier numbers more than that at once."""
    events = side.events(user_id)
    kept = queued(manager, user_id)
    for owner in (user_id, other_user_id, user_id):
        queued(manager, owner)
    notifier.relay()
    assert [events.next().cursor for _ in range(3)] == [1, 2, 4]
    restored(engine, lost - 1)
    new = [queued(manager, user_id) for _ in range(6)]
    notifier.relay()
    with pytest.raises(CursorExpiredError, match="restored") as caught:
        events.next()
    assert caught.value.cursor == lost + 5
    assert {job.id for job in new} <= {job.id for job in caught.value.jobs}
    claimed(engine, kept.id)
    notifier.relay()
    assert events.next().cursor == lost + 6


def test_a_job_deleted_before_its_event_was_read_is_no_other_log(
    side: Side, manager: JobQueueManager, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    events = side.events(user_id)
    deleted, *_ = [queued(manager, user_id) for _ in range(3)]
    numbered = notifier.number()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM menu_extraction_jobs WHERE id = :id"), {"id": deleted.id})
    notifier.publish(numbered[1:])
    assert [events.next().cursor for _ in range(2)] == [2, 3]
    notifier.publish(numbered[:1])
    queued(manager, user_id)
    notifier.relay()
    assert events.next().cursor == 4


def test_a_log_that_refuses_its_own_cursor_is_asked_again_and_again_but_not_at_once(
    side: Side,
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    notifier: Notifier,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def pruned_up_to(cursor: int) -> None:
        values = {"user": user_id, "cursor": cursor}
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM menu_extraction_pruned_events"))
            connection.execute(text("INSERT INTO menu_extraction_pruned_events VALUES (:user, :cursor)"), values)

    inbox, told = Inbox(), list[CursorExpiredError]()
    side.subscribe(user_id, inbox, on_expired=told.append)
    queued(manager, user_id)
    notifier.relay()
    assert inbox.wait_for(1) == [1]  # so it has looked into the log, and does not look again by itself
    pruned_up_to(1000)
    queued(manager, user_id)
    waiting = queued(manager, user_id)
    notifier.publish(notifier.number()[1:])
    eventually(lambda: "names cursor 3 to go on from and refuses it" in caplog.text, what="a word in the log")
    assert ([one.cursor for one in told], len(inbox.events)) == ([3], 1)
    pruned_up_to(1)
    claimed(engine, waiting.id)
    notifier.relay()
    assert inbox.wait_for(2) == [1, 4]
    assert len(told) == 1


class Follower:
    """An application that keeps every job's status from events, and from snapshots where it has to."""

    def __init__(self, side: Side, user_id: UUID, cursor: int) -> None:
        self.seen: dict[UUID, str] = {}
        self.told = 0
        self._cursor = cursor
        self._side = side
        self._user_id = user_id

    def follow(self, until: Callable[[dict[UUID, str]], bool]) -> None:
        while not until(self.seen):
            try:
                events = self._side.events(self._user_id, self._cursor)
                for _ in range(random.randint(1, 30)):
                    if until(self.seen):
                        break
                    one = events.next()
                    assert one.cursor > self._cursor
                    self.seen[one.job_id], self._cursor = one.status.value, one.cursor
            except CursorExpiredError as error:
                self.told += 1
                self.seen = {job.id: job.status.value for job in error.jobs}
                self._cursor = error.cursor
            else:
                events.close()


def test_snapshots_and_events_together_miss_nothing_while_everything_is_pruned_at_once(
    side: Side, manager: JobQueueManager, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    working = threading.Event()

    def work() -> UUID:
        for _ in range(20):
            job = queued(manager, user_id)
            claimed(engine, job.id)
            complete(engine, job.id, 1)
        return queued(manager, user_id).id

    def round_of_the_notifier() -> None:
        notifier.relay()
        newest = publish_all(engine)
        notifier.publish(log(engine, user_id, newest - 1))  # else nobody hears of what this numbered
        pruned(engine)

    def relay_and_prune() -> None:
        while not working.is_set():
            round_of_the_notifier()

    work()
    round_of_the_notifier()
    last: list[UUID] = []
    followers = [Follower(side, user_id, 0) for _ in range(2)]
    with ThreadPoolExecutor(6) as threads:
        workers = [threads.submit(work) for _ in range(2)]
        pruner = threads.submit(relay_and_prune)
        until = lambda seen: len(last) == 2 and all(seen.get(job) == "queued" for job in last)  # noqa: E731
        following = [threads.submit(one.follow, until) for one in followers]
        last += [one.result(timeout=60) for one in workers]
        for one in following:
            one.result(timeout=60)
        working.set()
        pruner.result(timeout=30)
    assert all(one.told for one in followers)
    for job in manager.list_user_jobs(user_id, limit=1000):
        for follower in followers:
            assert follower.seen[job.id] == job.status


def test_watch_says_so(run: CommandLine, three_events_pruned: ExtractionJob) -> None:
    people = run("watch", "--after", 0)
    assert people.exit_code == 1
    assert "pruned" in error_of(people)
    machines = run("watch", "--after", 0, "--json")
    document = json.loads(machines.stdout)
    assert (machines.exit_code, document["code"], document["cursor"]) == (1, "CURSOR_EXPIRED", 4)
    assert ([job["id"] for job in document["jobs"]], document["more"]) == ([str(three_events_pruned.id)], False)


def test_waiting_for_a_job_outlives_the_pruning_of_events(
    manager: JobQueueManager, engine: Engine, settings: Settings, user_id: UUID, notifier: Notifier
) -> None:
    """A program that was stopped for so long that events it never got were pruned."""
    waiting = queued(manager, user_id)
    publish_all(engine)
    began = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(manager.wait_for_job, waiting.id, user_id, 30, lambda _job: began.set())
        assert began.wait(10)
        for _ in range(3):
            completed(manager, engine, user_id)
        publish_all(engine)
        assert pruned(engine)[0] == 3
        queued(manager, user_id)
        notifier.relay()  # wakes it
        complete(engine, waiting.id, claimed(engine, waiting.id).attempt)
        notifier.relay()
        assert result.result(timeout=30).status == "completed"
