"""What the workers of the fault tests import beside their tasks (``celery worker -I``)."""

from __future__ import annotations

import os

from tests.faults import mechanisms, steps
from worker.celery_app import app

if steps.VISIBILITY_TIMEOUT in os.environ:
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "visibility_timeout": float(os.environ[steps.VISIBILITY_TIMEOUT]),
        # kombu looks every hundred seconds otherwise.
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
    }
steps.install_in_worker()
mechanisms.switch_off_from_environment("worker")
