"""The Celery task: it carries a job id and runs that job's next attempt."""

from __future__ import annotations

import logging
import os
from typing import Any
from uuid import UUID

from celery import Task

from worker.celery_app import app
from worker.execution import AttemptFailedError, AttemptLostError, JobFailedError, execute_job
from worker.resources import worker_resources

log = logging.getLogger(__name__)


class ExtractionTask(Task):  # type: ignore[misc] # Celery ships no types
    """Waits before a retry as long as the job's row says, so that message and row agree."""

    def retry(self, *args: Any, exc: Exception | None = None, **options: Any) -> Any:
        if isinstance(exc, AttemptFailedError):
            options["countdown"] = exc.delay_seconds
        return super().retry(*args, exc=exc, **options)


@app.task(  # type: ignore[untyped-decorator]
    bind=True,
    base=ExtractionTask,
    name="worker.tasks.extract_menu",
    autoretry_for=(AttemptFailedError,),
    max_retries=3,
    throws=(JobFailedError, AttemptLostError),
)
def extract_menu(self: Task, job_id: str) -> None:
    """Run the next attempt of the job; the row decides whether there is one to run."""
    try:
        job = UUID(job_id)
    except (ValueError, AttributeError, TypeError):
        # Not ours, and no retry would mend it. Its text is not repeated: anything may be in it.
        log.warning("What a message names is not the id of a job; the message is dropped.")
        return
    worker = f"{self.request.hostname or 'worker'}/{os.getpid()}"
    try:
        execute_job(worker_resources(), job, worker)
    except MemoryError:
        # Beyond what the attempt itself could still write down. Celery's main process would end on it.
        raise AttemptLostError from None
