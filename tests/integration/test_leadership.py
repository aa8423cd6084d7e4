"""Who leads the relay: one at a time, by a lease, and a term that fences whoever led before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from jobqueue import JobQueueManager
from jobqueue.database import Database
from jobqueue.store.event_log import number_pending
from jobqueue.store.leadership import (
    LEAD_SECONDS,
    Lead,
    LeadLostError,
    record_sweep,
    release_lead,
    renew_lead,
    take_lead,
)
from jobqueue.store.recovery import begin_waiting_again, reap_expired_lease, reap_expired_leases
from tests.eventually import eventually
from tests.integration.jobs import LIMITS, claimed, current, queued, row, waiting_for_locks


def take(engine: Engine, leader: str, newest_seen: int = 0) -> Lead | None:
    return Database(engine).statement(lambda c: take_lead(c, leader, newest_seen))


def end_lead(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE menu_extraction_relay SET lead_until = clock_timestamp() - interval '1 ms' WHERE id = 1")
        )


def succeed(engine: Engine) -> tuple[Lead, Lead]:
    """One that led, and one that leads."""
    first = take(engine, "first")
    end_lead(engine)
    second = take(engine, "second")
    assert first is not None
    assert second is not None
    return first, second


def set_clock_back(engine: Engine, interval: str) -> None:
    """As the row sees it: what was written before lies in the future."""
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE menu_extraction_relay SET lead_until = lead_until + CAST(:interval AS interval)"),
            {"interval": interval},
        )


def seconds_left(engine: Engine) -> float:
    with engine.connect() as connection:
        query = "SELECT EXTRACT(EPOCH FROM lead_until - clock_timestamp()) FROM menu_extraction_relay"
        return float(connection.execute(text(query)).scalar_one())


def test_nobody_else_takes_the_lead_until_it_ends_and_the_next_has_a_greater_term(engine: Engine) -> None:
    first = take(engine, "first")
    assert first is not None
    assert take(engine, "second") is None
    end_lead(engine)
    second = take(engine, "second")
    assert second is not None
    assert (first.term, second.term) == (1, 2)
    assert first.installation == second.installation
    assert take(engine, "first") is None


def test_of_many_at_once_one_leads(engine: Engine) -> None:
    with ThreadPoolExecutor(16) as threads:
        taken = list(threads.map(lambda number: take(engine, f"notifier {number}"), range(48)))
    assert len([one for one in taken if one is not None]) == 1


def test_a_lead_given_back_is_free_at_once_and_one_that_ended_cannot_be_given_back(engine: Engine) -> None:
    first, second = succeed(engine)
    Database(engine).statement(lambda c: release_lead(c, first.term))
    assert take(engine, "third") is None
    Database(engine).statement(lambda c: release_lead(c, second.term))
    third = take(engine, "third")
    assert third is not None
    assert third.unled_seconds is not None
    assert 0 <= third.unled_seconds < 5


def test_how_long_nobody_led_counts_from_the_last_renewal(engine: Engine) -> None:
    first = take(engine, "first")
    assert first is not None
    assert first.unled_seconds is None
    end_lead(engine)
    second = take(engine, "second")
    assert second is not None
    assert second.unled_seconds is not None
    assert LEAD_SECONDS < second.unled_seconds < LEAD_SECONDS + 5


def test_one_that_lost_the_answer_takes_its_own_lead_again(engine: Engine) -> None:
    assert take(engine, "first") is not None
    again = take(engine, "first")
    assert again is not None
    assert again.term == 2


def test_the_next_term_is_greater_than_any_that_was_heard_of(engine: Engine) -> None:
    lead = take(engine, "first", newest_seen=41)
    assert lead is not None
    assert lead.term == 42


def test_after_the_clock_was_set_back_the_lead_is_free_and_its_age_unknown(engine: Engine) -> None:
    """It would end an hour from now, and so nobody could lead until then."""
    first = take(engine, "first")
    assert first is not None
    set_clock_back(engine, "1 hour")
    second = take(engine, "second")
    assert second is not None
    assert (second.term, second.unled_seconds) == (2, None)
    assert take(engine, "first") is None
    assert seconds_left(engine) <= LEAD_SECONDS


def test_a_little_step_of_the_clock_takes_the_lead_from_nobody(engine: Engine) -> None:
    assert take(engine, "first") is not None
    set_clock_back(engine, "2 s")
    assert take(engine, "second") is None


Renewal = Callable[[Connection, int], Any]


@pytest.mark.parametrize(
    "renew",
    [lambda c, term: number_pending(c, term, 0, 10), lambda c, term: renew_lead(c, term, 0), record_sweep],
    ids=["numbering", "renewing", "recording_a_sweep"],
)
def test_the_lead_is_renewed_for_as_long_as_it_was_taken(engine: Engine, renew: Renewal) -> None:
    lead = take(engine, "first")
    assert lead is not None
    assert LEAD_SECONDS - 2 < seconds_left(engine) <= LEAD_SECONDS
    end_lead(engine)
    Database(engine).statement(lambda c: renew(c, lead.term))
    assert LEAD_SECONDS - 2 < seconds_left(engine) <= LEAD_SECONDS
    assert take(engine, "second") is None


REFUSED: list[Any] = [
    pytest.param(lambda c, term: number_pending(c, term, 0, 10), id="numbering"),
    pytest.param(lambda c, term: renew_lead(c, term, 0), id="renewing"),
    pytest.param(record_sweep, id="recording_a_sweep"),
]


@pytest.mark.parametrize("write", REFUSED)
def test_whoever_led_before_is_refused_and_changes_nothing(
    manager: JobQueueManager, engine: Engine, user_id: UUID, write: Renewal
) -> None:
    queued(manager, user_id)
    first, second = succeed(engine)
    relay = text("SELECT menu_extraction_relay::text FROM menu_extraction_relay")
    with engine.connect() as connection:
        before = connection.execute(relay).scalar_one()
    with pytest.raises(LeadLostError):
        Database(engine).statement(lambda c: write(c, first.term))
    with engine.connect() as connection:
        assert connection.execute(relay).scalar_one() == before
    assert Database(engine).statement(lambda c: number_pending(c, second.term, 0, 10)).events[0].cursor == 1


def test_the_sweep_of_whoever_led_before_changes_no_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    waiting, lost = queued(manager, user_id), queued(manager, user_id)
    claimed(engine, lost.id, lease_seconds=0)
    due = row(engine, waiting.id)["run_after"]
    first, second = succeed(engine)
    database = Database(engine)
    assert database.statement(lambda c: reap_expired_leases(c, first.term, 10, LIMITS)) == []
    assert database.statement(lambda c: reap_expired_lease(c, first.term, lost.id, LIMITS)) == []
    assert database.statement(lambda c: begin_waiting_again(c, first.term, [waiting.id])) == []
    assert current(manager, lost.id).status == "processing"
    assert row(engine, waiting.id)["run_after"] == due
    assert database.statement(lambda c: begin_waiting_again(c, second.term, [waiting.id])) == [waiting.id]
    assert [one.id for one in database.statement(lambda c: reap_expired_leases(c, second.term, 10, LIMITS))] == [
        lost.id
    ]


def test_no_new_term_begins_in_the_middle_of_a_write_of_the_old_one(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    lost = queued(manager, user_id)
    claimed(engine, lost.id, lease_seconds=0)
    lead = take(engine, "first")
    assert lead is not None
    end_lead(engine)
    with engine.connect() as sweeping:
        assert len(reap_expired_leases(sweeping, lead.term, 10, LIMITS)) == 1
        assert take(engine, "second") is None
        sweeping.commit()
    assert take(engine, "second") is not None


def test_a_write_that_waited_for_a_new_term_to_begin_is_refused(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    queued(manager, user_id)
    lost = queued(manager, user_id)
    claimed(engine, lost.id, lease_seconds=0)
    lead = take(engine, "first")
    assert lead is not None
    end_lead(engine)
    database = Database(engine)
    with ThreadPoolExecutor(2) as threads, engine.connect() as successor:
        assert take_lead(successor, "second") is not None
        numbering = threads.submit(database.statement, lambda c: number_pending(c, lead.term, 0, 10))
        sweep = threads.submit(database.statement, lambda c: reap_expired_leases(c, lead.term, 10, LIMITS))
        eventually(lambda: waiting_for_locks(engine) == 2, what="both writes waiting")
        successor.commit()
        assert sweep.result(timeout=10) == []
        with pytest.raises(LeadLostError):
            numbering.result(timeout=10)
    assert current(manager, lost.id).status == "processing"
