"""Telling how far an extraction has come: best effort, never in the way of the work."""

from __future__ import annotations

import json
import logging
import time

import redis
from redis.exceptions import RedisError

from jobqueue.events import progress_channel
from jobqueue.store.claim import ClaimedJob
from worker.lease_keeper import Lease

log = logging.getLogger(__name__)

MIN_INTERVAL_SECONDS = 0.05
PAUSE_AFTER_ERROR_SECONDS = 5.0


class LeaseLostError(Exception):
    """The job is no longer this attempt's, so going on with it is wasted work."""


class JobCancelledError(Exception):
    """The job's user no longer wants it."""


class ProgressReporter:
    """The ``report`` that an extractor is given."""

    def __init__(self, client: redis.Redis, job: ClaimedJob, lease: Lease) -> None:
        self._client = client
        self._job = job
        self._lease = lease
        self._stage = ""
        self._next_at = 0.0

    def __call__(self, stage: str, fraction: float) -> None:
        if self._lease.lost.is_set():
            raise LeaseLostError
        if self._lease.cancelled.is_set():
            raise JobCancelledError
        now = time.monotonic()
        if now < self._next_at and stage == self._stage and fraction < 1:
            return
        self._stage = stage
        self._next_at = now + MIN_INTERVAL_SECONDS
        payload = {"id": str(self._job.id), "stage": stage, "fraction": round(min(max(fraction, 0.0), 1.0), 3)}
        try:
            self._client.publish(progress_channel(self._job.user_id), json.dumps(payload))
        except (RedisError, OSError) as error:
            log.debug("Progress not reported: %s", type(error).__name__)
            self._next_at = now + PAUSE_AFTER_ERROR_SECONDS
