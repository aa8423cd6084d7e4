"""What the workers of the fault tests import beside their tasks: ``celery -A worker worker -I tests.faults.inside_worker``."""

from __future__ import annotations

from tests.faults import mechanisms, steps

steps.install_in_worker()
mechanisms.switch_off_from_environment()
