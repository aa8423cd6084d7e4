"""The Celery application; its configuration is read when it is first needed."""

from __future__ import annotations

from celery import Celery

from worker.acknowledgement import install_acknowledgement
from worker.flower_guard import install_flower_guard
from worker.presence import install_presence
from worker.startup_check import install_startup_check

app = Celery("menu_jobqueue", include=["worker.tasks"], set_as_current=False)
app.config_from_object("worker.celery_config")
install_startup_check(app)
install_flower_guard(app)
install_acknowledgement()
install_presence(app)
