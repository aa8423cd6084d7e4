"""Publishing and pruning as the notifier does, at a moment of the test's choice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine, text

from jobqueue.database import Database
from jobqueue.retention import prune
from jobqueue.store.event_log import current_cursor, number_pending
from tests.integration.event_numbering import lead


def later() -> datetime:
    """A time by which whatever exists now is old and in nobody's counts any more."""
    return datetime.now(UTC) + timedelta(days=70)


def publish_all(engine: Engine) -> int:
    """Number every event and record that all were published; the newest cursor."""
    database = Database(engine)
    term = lead(engine).term
    database.run(lambda connection: number_pending(connection, term, 0, 100_000))
    newest = database.run(current_cursor)
    database.run(lambda connection: number_pending(connection, term, newest, 1))
    return newest


def pruned(
    engine: Engine, *, days: int = 30, now: datetime | None = None, batch: int = 100, dry_run: bool = False
) -> tuple[int, int]:
    """How many jobs and events went."""
    moment = later() if now is None else now
    batches = list(prune(Database(engine), days, clock=lambda: moment, batch=batch, dry_run=dry_run))
    assert all(one.jobs <= 4 * batch for one in batches)
    return sum(one.jobs for one in batches), sum(one.events for one in batches)


def made_old(engine: Engine, job_id: UUID, created: datetime, finished: datetime | None = None) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("""
                UPDATE menu_extraction_jobs SET created_at = :created,
                    completed_at = CASE WHEN completed_at IS NULL THEN NULL ELSE CAST(:finished AS timestamptz) END
                WHERE id = :id
            """),
            {"id": job_id, "created": created, "finished": finished or created},
        )


def exists(engine: Engine, job_id: UUID) -> bool:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT 1 FROM menu_extraction_jobs WHERE id = :id"), {"id": job_id})
        return found.scalar() is not None
