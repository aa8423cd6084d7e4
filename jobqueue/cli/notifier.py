"""``jobqueue notifier``."""

from __future__ import annotations

import os
import sys

import click


@click.command()
def notifier() -> None:
    """Relay status changes to Redis and hand due jobs to Celery, until stopped.

    Several may run: one works, the others stand by.
    """
    # The library never imports the worker, so this process becomes the worker's.
    os.execv(sys.executable, [sys.executable, "-m", "worker.notifier"])  # noqa: S606
