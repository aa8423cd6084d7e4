"""The Celery application; its configuration is read when it is first needed."""

from __future__ import annotations

from celery import Celery

app = Celery("menu_jobqueue", include=["worker.tasks"], set_as_current=False)
app.config_from_object("worker.celery_config")
