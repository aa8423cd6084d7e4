"""Pruning by the clock, beside the leading notifier's work and never in its way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import ClassVar, Self

from sqlalchemy import Engine

from jobqueue.database import Database, create_database_engine
from jobqueue.errors import JobQueueError
from jobqueue.retention import BATCH, prune
from jobqueue.store.pruning import Position, PrunedBatch
from worker.postgres_deadline import DeadlineConnection

log = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
# While notifiers take the lead from each other, none of them begins to prune.
FIRST_AFTER_SECONDS = 60.0
# Doubled with each failure that follows another.
PAUSE_SECONDS = 10.0
# Postgres ends a statement by itself, so that nothing of a batch goes on when a smaller one is tried.
STATEMENT_SECONDS = 50.0
SMALLEST_BATCH = 5


class _Patient(DeadlineConnection):
    answer_within: ClassVar[float] = STATEMENT_SECONDS + 10


def retention_engine(url: str) -> Engine:
    """The relay's limit to waiting for Postgres is that of its lead; a batch may take longer."""
    return create_database_engine(
        url,
        application_name="menu-jobqueue retention",
        pool_size=1,
        connect_args={"connection_factory": _Patient},
    )


class Retention:
    """Prunes a minute after it is entered and then every hour, in a thread of its own, until it is left.

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
        pause = FIRST_AFTER_SECONDS
        while not self._ended.wait(pause):
            self._prune(days)
            pause = EVERY_SECONDS

    def _prune(self, days: int) -> None:
        """Prune to the end, however long the database is away or in somebody's hands meanwhile."""
        jobs = events = failures = 0
        size, after = BATCH, None
        while not self._ended.is_set():
            try:
                for done in self._batches(days, size, after):
                    jobs, events, after, failures = jobs + done.jobs, events + done.events, done.end, 0
                break
            except JobQueueError as error:
                size = max(size // 2, min(size, SMALLEST_BATCH))
                pause = min(PAUSE_SECONDS * 2.0 ** min(failures, 10), EVERY_SECONDS)
                failures += 1
                log.warning("Pruning was interrupted (%s); it goes on in %d s, %d jobs at a step.", error, pause, size)
                self._ended.wait(pause)
        if jobs:
            log.info("Pruned %d jobs and %d events that were older than %d days.", jobs, events, days)

    def _batches(self, days: int, size: int, after: Position | None) -> Iterator[PrunedBatch]:
        began = time.monotonic()
        for done in prune(self._database, days, batch=size, after=after, statement_seconds=STATEMENT_SECONDS):
            yield done
            # At most half of the time, so that whoever else uses the database hardly notices.
            if self._ended.wait(time.monotonic() - began):
                break
            began = time.monotonic()
