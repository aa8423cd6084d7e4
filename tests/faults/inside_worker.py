"""What the workers of the fault tests import beside their tasks (``celery worker -I``)."""

from __future__ import annotations

import functools
import os

from kombu.transport.redis import QoS

from tests.faults import mechanisms, steps
from worker.celery_app import app

if steps.VISIBILITY_TIMEOUT in os.environ:
    seconds = float(os.environ[steps.VISIBILITY_TIMEOUT])
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "visibility_timeout": seconds}
    # kombu looks every hundred seconds otherwise.
    QoS.restore_visible = functools.partialmethod(QoS.restore_visible, interval=1)  # type: ignore[assignment, method-assign]
steps.install_in_worker()
mechanisms.switch_off_from_environment("worker")
