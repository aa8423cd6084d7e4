"""What the workers of the fault tests import beside their tasks (``celery worker -I``)."""

from __future__ import annotations

from tests.faults import mechanisms, steps

steps.install_in_worker()
mechanisms.switch_off_from_environment("worker")
