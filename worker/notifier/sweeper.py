"""Recovering jobs that nobody works on. It lives outside the task queue that it repairs."""

from __future__ import annotations

import logging
import time
from uuid import UUID

from jobqueue.database import Database
from jobqueue.errors import JobQueueError
from jobqueue.store.leadership import Lead, record_sweep
from jobqueue.store.recovery import (
    AttemptLimits,
    ReapedJob,
    begin_waiting_again,
    expired_leases,
    overdue_jobs,
    overtaken_jobs,
    reap_expired_lease,
    reap_expired_leases,
)
from worker.notifier.dispatcher import Dispatcher

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
BATCH = 200
OVERDUE_SECONDS = 5.0


class Sweeper:
    """One leader's sweeper. Raises ``LeadLostError`` when another notifier has taken the lead."""

    def __init__(self, database: Database, dispatcher: Dispatcher, lead: Lead, limits: AttemptLimits) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._term = lead.term
        self._reap_from = time.monotonic() + seconds_for_renewals(lead.unled_seconds, limits.lease_seconds)
        self._limits = limits
        self._next_at = 0.0
        self._refused: set[UUID] = set()

    def sweep(self) -> bool:
        """Do a round if one is due, and tell whether it was."""
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + EVERY_SECONDS
        if now >= self._reap_from:
            self._reap()
        self._send_lost_messages_again()
        self._database.statement(lambda connection: record_sweep(connection, self._term))
        return True

    def _reap(self) -> None:
        try:
            reaped = self._database.statement(
                lambda connection: reap_expired_leases(connection, self._term, BATCH, self._limits)
            )
        except JobQueueError:
            # Postgres is away, which the next statement finds too; or it refuses one of the rows.
            reaped = self._reap_one_by_one()
        for job in reaped:
            log.warning("Job %s lost its worker in attempt %d; it is %s now.", job.id, job.attempt, job.status.value)

    def _reap_one_by_one(self) -> list[ReapedJob]:
        reaped: list[ReapedJob] = []
        for job_id in self._database.statement(lambda connection: expired_leases(connection, BATCH)):
            try:
                reaped += self._database.statement(
                    lambda connection, job_id=job_id: reap_expired_lease(  # type: ignore[misc]
                        connection, self._term, job_id, self._limits
                    )
                )
            except JobQueueError as error:
                if job_id not in self._refused:
                    self._refused.add(job_id)
                    log.warning("Job %s cannot be taken from its lost worker: %s", job_id, error)
        return reaped

    def _send_lost_messages_again(self) -> None:
        """With an empty queue the messages of all overdue jobs were lost; while messages wait, those of overtaken ones.

        Messages that a busy worker has already taken are sent again too; the claim lets only one of them through.
        """
        lost = self._database.statement(lambda connection: overdue_jobs(connection, OVERDUE_SECONDS, BATCH))
        if lost and self._dispatcher.waiting_messages() > 0:
            # A queue that never runs empty must not keep a lost job waiting for ever.
            lost = self._database.statement(lambda connection: overtaken_jobs(connection, OVERDUE_SECONDS, BATCH))
        if lost:
            lost = self._database.statement(lambda connection: begin_waiting_again(connection, self._term, lost))
        if lost:
            log.warning("Sending the messages of %d overdue job(s) again.", len(lost))
            self._dispatcher.dispatch(lost)


def seconds_for_renewals(unled_seconds: float | None, lease_seconds: float) -> float:
    """How long to leave the workers to renew their leases before jobs are taken from them.

    While nobody led, the database may have been away, also for them. They try every third of a lease, so one that is
    alive has renewed within half of it. Nobody lost a lease to an outage that was shorter than such a try's distance.
    """
    if unled_seconds is not None and unled_seconds <= lease_seconds / 3:
        return 0.0
    return lease_seconds / 2
