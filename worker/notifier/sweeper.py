"""Recovering jobs that nobody works on. It lives outside the task queue that it repairs."""

from __future__ import annotations

import logging
import time

from jobqueue.database import Database
from jobqueue.store.recovery import (
    AttemptLimits,
    begin_waiting_again,
    overdue_jobs,
    overtaken_jobs,
    reap_expired_leases,
)
from worker.notifier.dispatcher import Dispatcher

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
BATCH = 200
OVERDUE_SECONDS = 5.0


class Sweeper:
    def __init__(self, database: Database, dispatcher: Dispatcher, limits: AttemptLimits) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._limits = limits
        # A worker renews its lease as soon as a database that was away is back; give it the time to.
        self._reap_from = time.monotonic() + limits.lease_seconds
        self._next_at = 0.0

    def sweep(self) -> bool:
        """Do a round if one is due, and tell whether it was."""
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + EVERY_SECONDS
        if now >= self._reap_from:
            self._reap()
        self._send_lost_messages_again()
        return True

    def _reap(self) -> None:
        reaped = self._database.statement(lambda connection: reap_expired_leases(connection, BATCH, self._limits))
        for job in reaped:
            log.warning("Job %s lost its worker in attempt %d; it is %s now.", job.id, job.attempt, job.status.value)

    def _send_lost_messages_again(self) -> None:
        """With an empty queue the messages of all overdue jobs were lost; while messages wait, those of overtaken ones.

        Messages that a busy worker has already taken are sent again too; the claim lets only one of them through.
        """
        lost = self._database.statement(lambda connection: overdue_jobs(connection, OVERDUE_SECONDS, BATCH))
        if lost and self._dispatcher.waiting_messages() > 0:
            # A queue that never runs empty must not keep a lost job waiting for ever.
            lost = self._database.statement(lambda connection: overtaken_jobs(connection, OVERDUE_SECONDS, BATCH))
        if lost:
            log.warning("Sending the messages of %d overdue job(s) again.", len(lost))
            self._database.statement(lambda connection: begin_waiting_again(connection, lost))
            self._dispatcher.dispatch(lost)
