"""The processes: Celery app and tasks, extractors, and the notifier."""

from worker.celery_app import app

__all__ = ["app"]
