"""Celery's consumer, which on a soft or cold shutdown gives back the jobs that its processes still work on.

Celery itself would leave the rows as they are: their leases would run out, and every deployment would cost an attempt.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

from billiard import pool as billiard_pool
from celery.worker import state
from celery.worker.consumer import Consumer
from sqlalchemy.pool import NullPool

from jobqueue.database import Database
from jobqueue.errors import JobQueueError
from jobqueue.settings import load_settings
from jobqueue.store.put_back import put_back_jobs
from worker.postgres_deadline import deadline_engine
from worker.presence import leave

log = logging.getLogger(__name__)

# The supervisor that asked the worker to stop will not wait for ever. Less than a single answer may take
# (`DeadlineConnection`), so that this limit and not that one decides, and the log says the same each time.
GIVING_UP_AFTER_SECONDS = 4.0

# billiard 4.3.2 lets a child wait 300 x 0.1 s until its parent has read all its results. After a broker connection was
# cut in the middle of a job, the parent forgets a message that it had already handed to the child (Celery's
# `AsynPool.flush`), never reads that result, and a warm shutdown takes half a minute longer. What a result says is
# in the row by then, so a moment is enough.
billiard_pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 20


class ExtractionConsumer(Consumer):  # type: ignore[misc] # Celery ships no types
    """Set as ``worker_consumer``."""

    def cancel_active_requests(self) -> None:
        """Put back what is still being worked on, then end those who do.

        Celery calls this when the time of a soft shutdown is over, and at once on a second signal. The main process
        writes, because the children may be anywhere, in C code too; the attempt number and the status refuse what
        they write afterwards.
        """
        children = self.pool.info.get("processes")
        _put_back([f"{self.hostname}/{pid}" for pid in children or [os.getpid()]])
        busy = tuple(state.active_requests)
        if children is None:
            if busy:
                self._exit_with_threads()
            return
        for request in busy:
            # Not Celery's SIGTERM (or what REMAP_SIGTERM makes of it): C code may hold up a signal that Python handles,
            # and nothing that the child still does counts.
            request.cancel(self.pool, signal="SIGKILL", emit_retry=False)

    def _exit_with_threads(self) -> None:
        """A thread cannot be ended, and Python would wait for it; its job has been put back, so nothing is lost."""
        leave(self.controller)
        log.warning("Exiting in the middle of %d extraction(s) that were put back.", len(state.active_requests))
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(os.EX_SOFTWARE)


def _put_back(workers: list[str]) -> None:
    # In a thread of its own because this runs inside a signal handler and must not take long.
    thread = threading.Thread(target=_write, args=(workers,), name="put-back", daemon=True)
    thread.start()
    thread.join(GIVING_UP_AFTER_SECONDS)
    if thread.is_alive():
        log.warning("The jobs of this worker could not be put back in time; they run again when their leases end.")


def _write(workers: list[str]) -> None:
    try:
        url = load_settings().required_database_url
        engine = deadline_engine(url, poolclass=NullPool)
        jobs = Database(engine).statement(lambda connection: put_back_jobs(connection, workers))
    except JobQueueError as error:
        log.warning("Jobs could not be put back (%s); they run again when their leases end.", error)
        return
    for job_id in jobs:
        log.warning("Job %s was put back; the attempt is not charged.", job_id)
