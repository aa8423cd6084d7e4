"""Which workers live, whether they consume, and how long jobs have been waiting for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Double, cast, delete, extract, func, null, select
from sqlalchemy.dialects.postgresql import insert

from jobqueue.states import JobStatus
from jobqueue.store.interval import seconds_from_now
from jobqueue.tables import JOBS, WORKERS

FORGOTTEN_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class LivingWorker:
    """What a worker said last. Ages are seconds by the database's clock.

    ``consuming``: it had a live connection to the broker; ``received_age``: since it last took a message, ``None`` when
    it never did; ``jobs``: how many it is working on now.
    """

    name: str
    started_at: datetime
    seen_age: float
    consuming: bool
    received_age: float | None
    jobs: int

    def is_idle_while_jobs_wait(self, oldest_due_age: float | None, patience_seconds: float) -> bool:
        """Whether it answers but consumes nothing: a job has been due for longer than ``patience_seconds``, and in that
        time this worker has neither taken a message nor worked."""
        if oldest_due_age is None or oldest_due_age <= patience_seconds or self.jobs:
            return False
        return self.received_age is None or self.received_age > patience_seconds


def record_worker(
    connection: Connection, name: str, *, begins: bool, consuming: bool, received_age: float | None
) -> None:
    """Say that the worker lives, and forget those that have been silent for an hour; ``begins`` sets its start anew."""
    received_at = null() if received_age is None else seconds_from_now(-received_age)
    said = insert(WORKERS).values(name=name, consuming=consuming, received_at=received_at)
    values = {"seen_at": func.clock_timestamp(), "consuming": consuming, "received_at": received_at}
    if begins:
        values["started_at"] = func.clock_timestamp()
    connection.execute(said.on_conflict_do_update(index_elements=[WORKERS.c.name], set_=values))
    connection.execute(delete(WORKERS).where(WORKERS.c.seen_at < seconds_from_now(-FORGOTTEN_AFTER_SECONDS)))


def remove_worker(connection: Connection, name: str) -> None:
    """Say that the worker has stopped."""
    connection.execute(delete(WORKERS).where(WORKERS.c.name == name))


def living_workers(connection: Connection, within_seconds: float) -> list[LivingWorker]:
    """The workers seen within so many seconds, by name."""
    # A claim names the process too: name/pid.
    jobs = (
        select(func.count())
        .where(
            JOBS.c.status == JobStatus.PROCESSING.value,
            JOBS.c.lease_expires_at > func.clock_timestamp(),
            func.starts_with(JOBS.c.worker, WORKERS.c.name + "/"),
        )
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            WORKERS.c.name,
            WORKERS.c.started_at,
            _age(WORKERS.c.seen_at).label("seen_age"),
            WORKERS.c.consuming,
            _age(WORKERS.c.received_at).label("received_age"),
            jobs.label("jobs"),
        )
        .where(WORKERS.c.seen_at > seconds_from_now(-within_seconds))
        .order_by(WORKERS.c.name)
    )
    return [
        LivingWorker(row.name, row.started_at.astimezone(UTC), row.seen_age, row.consuming, row.received_age, row.jobs)
        for row in rows
    ]


def oldest_due_job_age(connection: Connection) -> float | None:
    """For how many seconds the oldest queued job has been due; ``None`` when none is."""
    now = func.clock_timestamp()
    oldest = select(func.min(JOBS.c.run_after)).where(JOBS.c.status == JobStatus.QUEUED.value, JOBS.c.run_after <= now)
    age: float | None = connection.execute(select(_age(oldest.scalar_subquery()))).scalar_one()
    return age


def _age(moment: ColumnElement[datetime]) -> ColumnElement[float]:
    span: ColumnElement[timedelta] = func.clock_timestamp() - moment
    return cast(extract("epoch", span), Double)
