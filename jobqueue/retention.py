"""Keeping finished jobs for a time, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import Connection

from jobqueue.database import Database
from jobqueue.store.pruning import Age, Position, PrunedBatch, age, database_time, limit_statements, prune_batch
from jobqueue.store.submitter import Clock

BATCH = 200


def prune(
    database: Database,
    older_than_days: int,
    *,
    dry_run: bool = False,
    batch: int = BATCH,
    after: Position | None = None,
    statement_seconds: float | None = None,
    clock: Clock | None = None,
) -> Iterator[PrunedBatch]:
    """Delete, with its events and feedback, what finished more than ``older_than_days`` days ago, oldest first.

    Each step of the iteration is a short transaction of its own, so a caller may pause in between or stop; with
    ``dry_run`` it only counts. Unfinished jobs stay, and those created in this calendar month (UTC) or the last hour,
    which quotas and limits count; so do jobs with events that no notifier has published yet, and a job or retry of
    which the other has to stay. ``after`` goes on behind an earlier batch's ``end``. Raises ``QueueUnavailableError``,
    also when a statement takes longer than ``statement_seconds``; nothing of its batch is deleted then.
    """
    now = database.statement(database_time) if clock is None else clock()
    old = age(now, now - timedelta(days=older_than_days))
    while True:
        done = _batch(database, old, after, batch, dry_run=dry_run, statement_seconds=statement_seconds)
        yield done
        if done.end is None:
            return
        after = done.end


def _batch(
    database: Database,
    old: Age,
    after: Position | None,
    batch: int,
    *,
    dry_run: bool,
    statement_seconds: float | None,
) -> PrunedBatch:
    def work(connection: Connection) -> PrunedBatch:
        if statement_seconds is not None:
            limit_statements(connection, statement_seconds)
        return prune_batch(connection, old, after, batch, dry_run=dry_run)

    return database.run(work)
