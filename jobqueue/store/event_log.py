"""The one order of all events. The notifier numbers them; subscribers read on from a cursor.

An event gets its cursor in a transaction that holds the relay row's lock, after the change itself has committed.
So cursors become visible in their own order, and a reader that has seen cursor N will never find a smaller one new.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, text, update

from jobqueue.events import JobEvent
from jobqueue.states import JobStatus
from jobqueue.tables import EVENTS, RELAY


@dataclass(frozen=True, slots=True)
class RelayedEvent:
    """An event to publish; ``dispatch`` when the job waits for a worker right now."""

    event: JobEvent
    dispatch: bool


@dataclass(frozen=True, slots=True)
class RelayPosition:
    last_cursor: int
    published_cursor: int


def lock_relay(connection: Connection) -> RelayPosition:
    """Take the relay row's lock to the end of the transaction: only its holder may number events."""
    row = connection.execute(select(RELAY.c.last_cursor, RELAY.c.published_cursor).with_for_update()).one()
    return RelayPosition(row.last_cursor, row.published_cursor)


def mark_published(connection: Connection, cursor: int) -> None:
    """Record that everything up to ``cursor`` went out; the mark never moves back."""
    connection.execute(update(RELAY).where(RELAY.c.published_cursor < cursor).values(published_cursor=cursor))


# Numbers the oldest pending events. `id` grows within a job because a job's events are written under its row lock.
# The condition on the cursor is repeated on the outside so that no event can be numbered twice.
_NUMBER = text("""
    WITH pending AS (
        SELECT job_id, seq, id FROM menu_extraction_job_events WHERE cursor IS NULL ORDER BY id LIMIT :batch
    ), numbered AS (
        SELECT job_id, seq, :last + row_number() OVER (ORDER BY id) AS cursor FROM pending
    ), written AS (
        UPDATE menu_extraction_job_events AS event SET cursor = numbered.cursor
        FROM numbered
        WHERE event.job_id = numbered.job_id AND event.seq = numbered.seq AND event.cursor IS NULL
        RETURNING event.*
    ), moved AS (
        UPDATE menu_extraction_relay SET last_cursor = (SELECT max(cursor) FROM written)
        WHERE EXISTS (SELECT FROM written)
    )
    SELECT written.*,
           (written.status = 'queued' AND job.status = 'queued' AND job.run_after <= clock_timestamp()) AS dispatch
    FROM written JOIN menu_extraction_jobs AS job ON job.id = written.job_id
    ORDER BY written.cursor
""")

_UNPUBLISHED = text("""
    SELECT event.*,
           (event.status = 'queued' AND job.status = 'queued' AND job.run_after <= clock_timestamp()) AS dispatch
    FROM menu_extraction_job_events AS event JOIN menu_extraction_jobs AS job ON job.id = event.job_id
    WHERE event.cursor > :published
    ORDER BY event.cursor LIMIT :batch
""")


def number_pending(connection: Connection, last_cursor: int, batch: int) -> list[RelayedEvent]:
    """Give the oldest unnumbered events the cursors after ``last_cursor``. Needs the relay row's lock."""
    rows = connection.execute(_NUMBER, {"last": last_cursor, "batch": batch})
    return [RelayedEvent(_event(row), row.dispatch) for row in rows]


def unpublished(connection: Connection, published_cursor: int, batch: int) -> list[RelayedEvent]:
    """Events that were numbered but perhaps never published, because their notifier died in between."""
    rows = connection.execute(_UNPUBLISHED, {"published": published_cursor, "batch": batch})
    return [RelayedEvent(_event(row), row.dispatch) for row in rows]


def current_cursor(connection: Connection) -> int:
    """The cursor of the newest numbered event; 0 when there is none."""
    cursor: int = connection.execute(select(func.coalesce(func.max(RELAY.c.last_cursor), 0))).scalar_one()
    return cursor


def events_after(connection: Connection, user_id: UUID, cursor: int, limit: int) -> list[JobEvent]:
    """The user's events behind ``cursor``, in order."""
    rows = connection.execute(
        select(EVENTS)
        .where(EVENTS.c.user_id == user_id, EVENTS.c.cursor > cursor)
        .order_by(EVENTS.c.cursor)
        .limit(limit)
    )
    return [_event(row) for row in rows]


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
