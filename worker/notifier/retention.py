"""Pruning by the clock, beside the leading notifier's work and never in its way."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

from jobqueue.database import Database
from jobqueue.errors import JobQueueError
from jobqueue.retention import prune

log = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0


class Retention:
    """Prunes once when it is entered and then every hour, in a thread of its own, until it is left.

    Without ``days`` it does nothing. It is not waited for at the end: a batch that is under way ends by itself.
    """

    def __init__(self, database: Database, days: int | None) -> None:
        self._database = database
        self._days = days
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if self._days is not None:
            threading.Thread(target=self._run, args=(self._days,), name="retention", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def _run(self, days: int) -> None:
        while not self._ended.is_set():
            try:
                self._prune(days)
            except JobQueueError as error:
                log.warning("Pruning stopped early and goes on in an hour: %s", error)
            self._ended.wait(EVERY_SECONDS)

    def _prune(self, days: int) -> None:
        jobs = events = 0
        began = time.monotonic()
        for batch in prune(self._database, days):
            jobs += batch.jobs
            events += batch.events
            # At most half of the time, so that whoever else uses the database hardly notices.
            if self._ended.wait(time.monotonic() - began):
                break
            began = time.monotonic()
        if jobs:
            log.info("Pruned %d jobs and %d events that were older than %d days.", jobs, events, days)
