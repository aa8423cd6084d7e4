"""Refuses to start a worker that could not run a single job, with one line that names the setting."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals
from celery.concurrency import get_implementation
from celery.concurrency.thread import TaskPool as ThreadPool

from jobqueue.errors import JobQueueError
from jobqueue.settings import load_settings
from worker.extractors.loading import load_extractor
from worker.large_blocks import give_large_blocks_back
from worker.resources import expect_threads


def install_startup_check(app: Celery) -> None:
    """Check the settings of every worker that is started for ``app``; other Celery commands are left alone."""

    def check(sender: Any, **_details: Any) -> None:
        if sender.app is not app:
            return
        try:
            settings = load_settings()
            required = (settings.required_database_url, settings.required_redis_url)
            del required
            load_extractor(settings.extractor)
            if issubclass(get_implementation(sender.pool_cls), ThreadPool):
                expect_threads(sender.concurrency)
                give_large_blocks_back()
        except JobQueueError as error:
            # Celery logs any other exception of a signal's receiver and goes on.
            raise SystemExit(f"Error: {error.message}") from None

    signals.worker_init.connect(check, weak=False)
