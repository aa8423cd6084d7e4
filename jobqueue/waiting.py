"""Waiting until a job has finished: pushed to, or by polling."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import redis

from jobqueue.database import Database
from jobqueue.errors import CursorExpiredError, PollingTimeoutError, QueueUnavailableError
from jobqueue.event_stream import ANSWER_WITHIN_SECONDS, EventStream
from jobqueue.job import ExtractionJob
from jobqueue.store.lookup import get_job, unknown_job

# Should no event arrive although the job moved on (no notifier runs), the table tells.
LOOK_EVERY_SECONDS = 5.0


class Watch:
    """Calls ``on_update`` once for each state that differs from the one before."""

    def __init__(self, on_update: Callable[[ExtractionJob], Any] | None) -> None:
        self._on_update = on_update
        self._seen: tuple[str, int] | None = None

    @property
    def has_seen(self) -> bool:
        """Whether there was a state to see."""
        return self._seen is not None

    def saw(self, job: ExtractionJob) -> None:
        state = (job.status.value, job.attempt)
        if state != self._seen:
            self._seen = state
            if self._on_update is not None:
                self._on_update(job)


def wait_for_finish(
    client: redis.Redis,
    database: Database,
    job_id: UUID,
    user_id: UUID,
    *,
    timeout: float,
    on_update: Callable[[ExtractionJob], Any] | None,
) -> ExtractionJob:
    deadline = time.monotonic() + timeout
    watch = Watch(on_update)
    with EventStream(client, database, user_id) as stream:
        while True:
            try:
                job = database.statement(lambda connection: get_job(connection, job_id, user_id), ANSWER_WITHIN_SECONDS)
            except QueueUnavailableError:
                # The job outlives an outage of the database, and so does whoever waits for it.
                if not watch.has_seen or not _wait_for_change(stream, job_id, deadline):
                    raise
                continue
            if job is None:
                raise unknown_job()
            watch.saw(job)
            if job.is_finished:
                return job
            if not _wait_for_change(stream, job_id, deadline):
                raise not_finished(job)


def _wait_for_change(stream: EventStream, job_id: UUID, deadline: float) -> bool:
    """Whether there is time left to look at the job again."""
    look_at = min(deadline, time.monotonic() + LOOK_EVERY_SECONDS)
    while (left := look_at - time.monotonic()) > 0:
        try:
            event = stream.poll(left)
        except CursorExpiredError:
            return True  # its own event may be among the pruned ones
        if event is not None and event.job_id == job_id:
            return True
    return time.monotonic() < deadline


def not_finished(job: ExtractionJob) -> PollingTimeoutError:
    return PollingTimeoutError(
        f"The job is still {job.status.value}; it goes on, ask again later.",
        job_id=str(job.id),
        status=job.status.value,
    )
