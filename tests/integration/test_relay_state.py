"""What the relay's health is judged by."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from sqlalchemy import Engine, text

from jobqueue import JobQueueManager
from jobqueue.database import Database
from jobqueue.store.event_log import number_pending
from jobqueue.store.leadership import record_sweep, release_lead
from jobqueue.store.relay_state import RelayState, relay_state
from tests.integration.event_numbering import lead
from tests.integration.jobs import queued


def state(engine: Engine) -> RelayState:
    return Database(engine).statement(relay_state)


def age_events(engine: Engine, seconds: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE menu_extraction_job_events SET at = at - make_interval(secs => :s)"), {"s": seconds}
        )


def test_before_any_notifier_there_is_nothing_but_the_lag(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    assert state(engine) == RelayState(None, 0, False, None, None, None, None, None)
    queued(manager, user_id)
    age_events(engine, 100)
    lag = state(engine).lag_seconds
    assert lag is not None
    assert 100 <= lag < 160


def test_an_event_counts_until_it_was_certainly_published(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    term = lead(engine).term
    queued(manager, user_id)
    age_events(engine, 100)
    database = Database(engine)
    database.statement(lambda c: number_pending(c, term, 0, 10))
    assert (state(engine).lag_seconds or 0) >= 100
    queued(manager, user_id)
    database.statement(lambda c: number_pending(c, term, 1, 10))
    lag = state(engine).lag_seconds
    assert lag is not None
    assert lag < 60
    assert state(engine).relayed_at is None
    database.statement(lambda c: number_pending(c, term, 2, 10))
    now = state(engine)
    assert now.lag_seconds is None
    assert now.relayed_at is not None
    assert now.relayed_at.tzinfo is UTC


def test_locked_events_are_not_taken_for_relayed(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    term = lead(engine).term
    queued(manager, user_id)
    with engine.connect() as other:
        other.execute(text("SELECT FROM menu_extraction_job_events FOR UPDATE"))
        assert Database(engine).statement(lambda c: number_pending(c, term, 0, 10)).events == []
        assert state(engine).relayed_at is None
        assert state(engine).lag_seconds is not None


def test_who_leads_and_when_the_jobs_were_swept(engine: Engine) -> None:
    term = lead(engine).term
    Database(engine).statement(lambda c: record_sweep(c, term))
    now = state(engine)
    assert (now.leader, now.term, now.led) == ("a test", 1, True)
    assert now.swept_at is not None
    assert now.swept_at.tzinfo is UTC
    assert now.swept_seconds_ago is not None
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_relay SET lead_until = now() - interval '1 s'"))
    assert (state(engine).leader, state(engine).led) == ("a test", False)
    Database(engine).statement(lambda c: release_lead(c, term))
    assert (state(engine).leader, state(engine).led) == (None, False)


def test_after_the_clock_was_set_back_nobody_leads_by_an_old_promise(engine: Engine) -> None:
    term = lead(engine).term
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_relay SET lead_until = lead_until + interval '1 hour'"))
    now = state(engine)
    assert (now.leader, now.led, now.unled_seconds) == ("a test", False, None)
    Database(engine).statement(lambda c: record_sweep(c, term))
    assert state(engine).led


def test_it_waits_for_no_lock_and_reads_two_rows_however_many_there_are(engine: Engine, user_id: UUID) -> None:
    with engine.begin() as connection:
        insert = "INSERT INTO menu_extraction_jobs (user_id, image_url) SELECT :user, 'x' FROM generate_series(1, 5000)"
        connection.execute(text(insert), {"user": user_id})
        connection.execute(text("UPDATE menu_extraction_job_events SET cursor = id WHERE id % 2 = 0"))
        connection.execute(text("ANALYZE menu_extraction_job_events"))
    with engine.connect() as numbering, engine.connect() as reader:
        numbering.execute(text("SELECT FROM menu_extraction_relay FOR UPDATE"))
        numbering.execute(text("SELECT FROM menu_extraction_job_events FOR UPDATE"))
        reader.execute(text("SET lock_timeout = '1s'"))
        assert relay_state(reader).lag_seconds is not None
        reader.execute(text("SET enable_seqscan = off"))
        plan = [
            line
            for part in ("cursor IS NULL ORDER BY id", "cursor > 7 ORDER BY cursor")
            for (line,) in reader.execute(
                text(f"EXPLAIN SELECT at FROM menu_extraction_job_events WHERE {part} LIMIT 1")  # noqa: S608
            )
        ]
    assert len([line for line in plan if "Index Scan" in line]) == 2
    assert not [line for line in plan if "Sort" in line]
