"""Which workers live and whether they consume, as they said themselves."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Double, cast, delete, extract, func, null, select
from sqlalchemy.dialects.postgresql import insert

from jobqueue.health import WorkerPresence
from jobqueue.states import JobStatus
from jobqueue.store.interval import seconds_from_now
from jobqueue.tables import JOBS, WORKERS

FORGOTTEN_AFTER_SECONDS = 3600.0


def record_worker(
    connection: Connection, name: str, *, begins: bool, consuming: bool, stopping: bool, received_age: float | None
) -> None:
    """Say that the worker lives, and forget those that have been silent for an hour; ``begins`` sets its start anew."""
    received_at = null() if received_age is None else seconds_from_now(-received_age)
    state = {"consuming": consuming, "stopping": stopping, "received_at": received_at}
    said = insert(WORKERS).values(name=name, **state)
    values = {"seen_at": func.clock_timestamp(), **state}
    if begins:
        values["started_at"] = func.clock_timestamp()
    connection.execute(said.on_conflict_do_update(index_elements=[WORKERS.c.name], set_=values))
    connection.execute(delete(WORKERS).where(WORKERS.c.seen_at < seconds_from_now(-FORGOTTEN_AFTER_SECONDS)))


def remove_worker(connection: Connection, name: str) -> None:
    """Say that the worker has stopped."""
    connection.execute(delete(WORKERS).where(WORKERS.c.name == name))


def known_workers(connection: Connection) -> tuple[WorkerPresence, ...]:
    """The workers that have not stopped in good order within the last hour, by name."""
    # A claim names the process and the execution too: name/pid/token.
    holds = (
        select(func.count())
        .where(
            JOBS.c.status == JobStatus.PROCESSING.value,
            JOBS.c.lease_expires_at > func.clock_timestamp(),
            func.starts_with(JOBS.c.worker, WORKERS.c.name + "/"),
        )
        .scalar_subquery()
    )
    received_ago = _age(func.coalesce(WORKERS.c.received_at, WORKERS.c.started_at))
    rows = connection.execute(
        select(
            WORKERS.c.name, _age(WORKERS.c.seen_at), WORKERS.c.consuming, WORKERS.c.stopping, received_ago, holds
        ).order_by(WORKERS.c.name)
    )
    return tuple(WorkerPresence(*row) for row in rows)


def _age(moment: ColumnElement[datetime]) -> ColumnElement[float]:
    span: ColumnElement[timedelta] = func.clock_timestamp() - moment
    return func.greatest(cast(extract("epoch", span), Double), 0.0)
