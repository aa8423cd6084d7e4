"""Waiting for a job by asking again and again: for code that cannot hold a connection to Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from jobqueue.errors import InvalidInputError, QueueUnavailableError
from jobqueue.job import ExtractionJob
from jobqueue.manager import JobQueueManager
from jobqueue.store.lookup import unknown_job
from jobqueue.waiting import Watch, not_finished


def poll_job_status(
    job_id: UUID | str,
    user_id: UUID | str,
    *,
    max_attempts: int = 60,
    interval_ms: int = 5000,
    on_update: Callable[[ExtractionJob], Any] | None = None,
    manager: JobQueueManager | None = None,
) -> ExtractionJob:
    """Return the job once it has finished, looking at most ``max_attempts`` times, ``interval_ms`` apart.

    Connects as the settings say unless given a ``manager``. ``on_update(job)`` is called for each change seen, first
    state included. Raises ``JobNotFoundError`` for an unknown job, ``PollingTimeoutError`` when it did not finish.
    """
    if not isinstance(max_attempts, int) or max_attempts < 1:
        raise InvalidInputError("max_attempts must be a whole number, 1 or more.", argument="max_attempts")
    if not isinstance(interval_ms, int | float) or not 0 <= interval_ms < float("inf"):
        raise InvalidInputError("interval_ms must be a number of milliseconds, 0 or more.", argument="interval_ms")
    asked = manager or JobQueueManager()
    try:
        return _poll(asked, job_id, user_id, max_attempts, interval_ms / 1000, Watch(on_update))
    finally:
        if manager is None:
            asked.close()


def _poll(
    manager: JobQueueManager, job_id: UUID | str, user_id: UUID | str, attempts: int, interval: float, watch: Watch
) -> ExtractionJob:
    left = attempts
    while True:
        left -= 1
        try:
            job = manager.get_job_status(job_id, user_id)
        except QueueUnavailableError:
            # The job outlives an outage of the database, and so does whoever waits for it.
            if not watch.has_seen or left == 0:
                raise
            time.sleep(interval)
            continue
        if job is None:
            raise unknown_job()
        watch.saw(job)
        if job.is_finished:
            return job
        if left == 0:
            raise not_finished(job)
        time.sleep(interval)
