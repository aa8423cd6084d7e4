"""Deleting old finished jobs with their events, some at a time.

A job and its retries go together: a retry whose original were gone would count as a job of its own in the monthly
quota. Whoever else uses the rows is never waited for long, and never waits long for a batch.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from jobqueue.limits import counted_since
from jobqueue.store.event_log import published_cursor

# The jobs of each line of retries, by its last one.
Lines = dict[UUID, list[UUID]]
# Shorter than the time after which Postgres looks for deadlocks: pruning gives way, not the program it collided with.
LOCK_TIMEOUT = "500ms"


@dataclass(frozen=True, slots=True)
class Age:
    """What is old enough: created and finished before ``finished_before``, and in nobody's counts any more."""

    finished_before: datetime
    created_before: datetime


@dataclass(frozen=True, slots=True)
class Position:
    """The last job that was looked at, in the order of creation."""

    created_at: datetime
    job_id: UUID


@dataclass(frozen=True, slots=True)
class PrunedBatch:
    """``end`` is where the next batch begins; ``None`` when there is no more to look at."""

    jobs: int
    events: int
    end: Position | None


# Of each line of retries the last one leads to the others. No job is finished before it is created; saying so lets the
# index end the search. OFFSET 0 keeps Postgres from joining with the whole table, as it does if it expects long lines.
_LINES = text("""
    WITH RECURSIVE newest AS (
        SELECT job.id, job.created_at, job.retry_of FROM menu_extraction_jobs AS job
        WHERE job.completed_at IS NOT NULL AND job.completed_at < :finished_before
              AND job.created_at < :created_before
              AND (job.created_at, job.id) > (CAST(:after_moment AS timestamptz), CAST(:after_id AS uuid))
              AND NOT EXISTS (SELECT FROM menu_extraction_jobs AS retry WHERE retry.retry_of = job.id)
        ORDER BY job.created_at, job.id LIMIT :batch
    ), line AS (
        SELECT id AS newest, id, created_at, retry_of FROM newest
        UNION
        SELECT line.newest, job.id, line.created_at, job.retry_of
        FROM line CROSS JOIN LATERAL (
            SELECT original.id, original.retry_of FROM menu_extraction_jobs AS original
            WHERE original.id = line.retry_of OFFSET 0
        ) AS job
    )
    SELECT newest, id, created_at FROM line ORDER BY created_at, newest
""")

_LOCK = text("""
    SELECT id FROM menu_extraction_jobs WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE SKIP LOCKED
""")

# Looked at once more behind the locks: a retry may have been made, which nobody can any more now.
_TO_KEEP = text("""
    SELECT job.id FROM menu_extraction_jobs AS job
    WHERE job.id = ANY(CAST(:ids AS uuid[])) AND (
        job.completed_at IS NULL OR job.completed_at >= :finished_before OR job.created_at >= :created_before
        OR EXISTS (SELECT FROM menu_extraction_jobs AS retry
                   WHERE retry.retry_of = job.id AND retry.id <> ALL(CAST(:ids AS uuid[])))
        OR EXISTS (SELECT FROM menu_extraction_job_events AS event
                   WHERE event.job_id = job.id AND (event.cursor IS NULL OR event.cursor > :published)))
""")

_COUNT_EVENTS = text("SELECT count(*) FROM menu_extraction_job_events WHERE job_id = ANY(CAST(:ids AS uuid[]))")

# In one statement with the deletion, so that nobody finds events missing without the mark that says so.
_DELETE_EVENTS = text("""
    WITH pruned AS (
        DELETE FROM menu_extraction_job_events WHERE job_id = ANY(CAST(:ids AS uuid[])) RETURNING user_id, cursor
    ), mark AS (
        INSERT INTO menu_extraction_pruned_events AS known (user_id, cursor)
        SELECT user_id, max(cursor) FROM pruned
        WHERE EXISTS (SELECT FROM auth.users WHERE users.id = pruned.user_id)
        GROUP BY user_id ORDER BY user_id
        ON CONFLICT (user_id) DO UPDATE SET cursor = greatest(known.cursor, excluded.cursor)
    )
    SELECT count(*) FROM pruned
""")

_DELETE_JOBS = text("DELETE FROM menu_extraction_jobs WHERE id = ANY(CAST(:ids AS uuid[]))")


def database_time(connection: Connection) -> datetime:
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now


def age(now: datetime, finished_before: datetime) -> Age:
    """What was finished before that moment, without what a quota or an hourly limit counts at ``now``."""
    return Age(finished_before, min(finished_before, counted_since(now)))


def limit_statements(connection: Connection, seconds: float) -> None:
    """Let Postgres end every statement of this transaction that takes longer."""
    connection.execute(select(func.set_config("statement_timeout", f"{seconds * 1000:.0f}ms", True)))


def prune_batch(connection: Connection, old: Age, after: Position | None, batch: int, *, dry_run: bool) -> PrunedBatch:
    """Delete the oldest lines of retries behind ``after``, ``batch`` at most; with ``dry_run`` only count them.

    To be called in a transaction of its own at READ COMMITTED. What others hold is left for another time, and so is a
    line of which something has to be kept: an unfinished or young job, or an event that was not published yet.
    """
    limits = {"finished_before": old.finished_before, "created_before": old.created_before}
    lines: Lines = defaultdict(list)
    end = after
    for row in connection.execute(_LINES, {**limits, **_behind(after), "batch": batch}):
        lines[row.newest].append(row.id)
        end = Position(row.created_at, row.newest)
    if len(lines) < batch:
        end = None
    if not dry_run:
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        locked = set(connection.execute(_LOCK, _ids(lines)).scalars())
        lines = {newest: line for newest, line in lines.items() if locked.issuperset(line)}
    published = published_cursor(connection)
    kept = set(connection.execute(_TO_KEEP, {**_ids(lines), **limits, "published": published}).scalars())
    doomed = _ids({newest: line for newest, line in lines.items() if kept.isdisjoint(line)})
    events: int = connection.execute(_COUNT_EVENTS if dry_run else _DELETE_EVENTS, doomed).scalar_one()
    if not dry_run:
        connection.execute(_DELETE_JOBS, doomed)
    return PrunedBatch(len(doomed["ids"]), events, end)


def _behind(after: Position | None) -> dict[str, Any]:
    if after is None:
        return {"after_moment": "-infinity", "after_id": str(UUID(int=0))}
    return {"after_moment": after.created_at, "after_id": str(after.job_id)}


def _ids(lines: Lines) -> dict[str, list[str]]:
    return {"ids": [str(job_id) for line in lines.values() for job_id in line]}
