"""The one order of all events. The notifier numbers them; subscribers read on from a cursor.

An event gets its cursor in a transaction that holds the relay row's lock, after the change itself has committed.
So cursors become visible in their own order, and a reader that has seen cursor N will never find a smaller one new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, text

from jobqueue.errors import CursorExpiredError
from jobqueue.events import JobEvent
from jobqueue.states import JobStatus
from jobqueue.store.leadership import refused_as_lead_lost
from jobqueue.store.lookup import list_jobs
from jobqueue.tables import RELAY


@dataclass(frozen=True, slots=True)
class RelayedEvent:
    """An event to publish; ``dispatch`` when the job waits for a worker right now.

    ``event`` is ``None`` where the row at ``cursor`` cannot be read as an event, so that it stops nobody else's.
    """

    cursor: int
    job_id: UUID
    event: JobEvent | None
    dispatch: bool


@dataclass(frozen=True, slots=True)
class NumberedBatch:
    """Events in the order of their cursors; ``previous`` is the cursor before the first of them.

    Without events it is that of the newest event if that was numbered but not certainly published, and otherwise 0.
    """

    events: list[RelayedEvent]
    previous: int


_NUMBER = text("SELECT * FROM number_menu_extraction_events(:term, :published, :batch)")

_UNPUBLISHED = text("""
    SELECT event.job_id, event.seq, event.user_id, event.status, event.attempt, event.confidence,
           CASE WHEN event.at BETWEEN '0001-01-02' AND '9999-12-30' THEN event.at END AS at, event.cursor,
           event.status = 'queued' AND job.status = 'queued' AND job.run_after <= clock_timestamp() AS dispatch
    FROM menu_extraction_job_events AS event JOIN menu_extraction_jobs AS job ON job.id = event.job_id
    WHERE event.cursor > :published
    ORDER BY event.cursor LIMIT :batch
""")

# Not from the relay's own table, which is closed to a listener that runs with a user's own rights.
_NEWEST = text("SELECT cursor FROM menu_extraction_newest_cursor")

# Beside each event how far all events are numbered, how far the user's were pruned, and whether the doubted one is in
# the log; a row without an event where there is none.
_LOG = text("""
    SELECT newest.cursor AS newest_cursor, coalesce(pruned.cursor, 0) AS pruned_cursor,
           EXISTS (
               SELECT FROM menu_extraction_job_events
               WHERE user_id = :user_id AND cursor = :doubted AND job_id = :job_id AND seq = :seq
           ) AS contradicted,
           event.*
    FROM menu_extraction_newest_cursor AS newest
    LEFT JOIN menu_extraction_pruned_events AS pruned ON pruned.user_id = :user_id
    LEFT JOIN LATERAL (
        SELECT * FROM menu_extraction_job_events
        WHERE user_id = :user_id AND cursor > :cursor ORDER BY cursor LIMIT :limit
    ) AS event ON true
    ORDER BY event.cursor
""")
SNAPSHOT_JOBS = 100
_PRUNED = "Events behind this cursor were pruned"
_OTHER_LOG = "This cursor is not of this event log: the database was restored to an earlier state, or is another one"


def number_pending(connection: Connection, term: int, published: int, batch: int) -> NumberedBatch:
    """Give the oldest unnumbered events their cursors, record that all up to ``published`` went out, renew the lead.

    One call of a database function, so one round trip; that record never moves back. Events that another transaction
    holds locked are left for later. Raises ``LeadLostError`` unless ``term`` is the newest.
    """
    with refused_as_lead_lost():
        rows = connection.execute(_NUMBER, {"term": term, "published": published, "batch": batch}).all()
    previous = rows[0].previous if rows else 0
    return NumberedBatch([_relayed(row) for row in rows if row.cursor is not None], previous)


def unpublished(connection: Connection, published: int, batch: int) -> list[RelayedEvent]:
    """Events that were numbered but perhaps never published, because their notifier died in between."""
    rows = connection.execute(_UNPUBLISHED, {"published": published, "batch": batch})
    return [_relayed(row) for row in rows]


def published_cursor(connection: Connection) -> int:
    """How far the events were certainly published."""
    cursor: int = connection.execute(select(RELAY.c.published_cursor)).scalar_one()
    return cursor


def current_cursor(connection: Connection) -> int:
    """The cursor of the newest numbered event; 0 when there is none."""
    cursor: int = connection.execute(_NEWEST).scalar_one()
    return cursor


def events_after(
    connection: Connection, user_id: UUID, cursor: int, limit: int, doubted: JobEvent | None = None
) -> list[JobEvent]:
    """The user's events behind ``cursor``, in order.

    ``doubted`` is an event at or before ``cursor`` that this log cannot hold if it is the one that the reader followed.
    Raises ``CursorExpiredError`` when events behind the cursor were pruned, and when the cursor is of another log: this
    one ends before it, or holds the doubted event. One statement looks for all, so that nothing can change in between.
    """
    values = {
        "user_id": user_id,
        "cursor": cursor,
        "limit": limit,
        "doubted": doubted and doubted.cursor,
        "job_id": doubted and doubted.job_id,
        "seq": doubted and doubted.seq,
    }
    rows = connection.execute(_LOG, values).all()
    # Whoever saw an event saw it numbered and committed, so only another log can end before an honest cursor.
    if cursor > rows[0].newest_cursor or rows[0].contradicted:
        raise _expired(connection, user_id, _OTHER_LOG)
    if rows[0].pruned_cursor > cursor:
        raise _expired(connection, user_id, _PRUNED)
    return [_event(row) for row in rows if row.cursor is not None]


def _expired(connection: Connection, user_id: UUID, reason: str) -> CursorExpiredError:
    # In this order: what changes after the cursor was read comes behind it, whether the jobs show it already or not.
    cursor = current_cursor(connection)
    jobs = list_jobs(connection, user_id, limit=SNAPSHOT_JOBS + 1)
    return CursorExpiredError(
        f"{reason}; take the jobs that come with this error and go on from its cursor.",
        cursor=cursor,
        jobs=jobs[:SNAPSHOT_JOBS],
        more=len(jobs) > SNAPSHOT_JOBS,
    )


def _relayed(row: Row[Any]) -> RelayedEvent:
    return RelayedEvent(row.cursor, row.job_id, _event_if_sound(row), row.dispatch)


def _event_if_sound(row: Row[Any]) -> JobEvent | None:
    try:
        event = _event(row)
    except (ValueError, AttributeError):  # a status that does not exist, no time
        return None
    # JSON has no word for other numbers.
    return event if event.confidence is None or math.isfinite(event.confidence) else None


def _event(row: Row[Any]) -> JobEvent:
    return JobEvent(
        job_id=row.job_id,
        user_id=row.user_id,
        status=JobStatus(row.status),
        confidence=row.confidence,
        attempt=row.attempt,
        seq=row.seq,
        cursor=row.cursor,
        at=row.at.astimezone(UTC),
    )
