"""Renews the leases of the jobs that this process works on, all of them in one statement."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from jobqueue.database import Database
from jobqueue.errors import JobQueueError
from jobqueue.store.claim import ClaimedJob, renew_leases

log = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3


@dataclass(frozen=True, slots=True)
class Lease:
    """``lost`` is set once somebody else holds the job: results of this attempt will be refused.

    ``cancelled`` is set once the job's user has asked for it to be cancelled.
    """

    job_id: UUID
    attempt: int
    lost: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)


class LeaseKeeper:
    """One thread for all jobs of the process; it runs while there is a lease to renew."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._held: dict[tuple[UUID, int], Lease] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, job: ClaimedJob) -> Iterator[Lease]:
        """Renew the job's lease until the block ends."""
        lease = Lease(job.id, job.attempt)
        with self._changed:
            self._held[job.id, job.attempt] = lease
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._changed:
                del self._held[job.id, job.attempt]

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(self._lease_seconds / RENEWALS_PER_LEASE)
                leases = list(self._held.values())
            if leases:
                self._renew(leases)

    def _renew(self, leases: list[Lease]) -> None:
        wanted = [(lease.job_id, lease.attempt) for lease in leases]
        try:
            kept = self._database.statement(lambda connection: renew_leases(connection, wanted, self._lease_seconds))
        except JobQueueError as error:
            # Nobody can take the job while the database is away; if somebody does afterwards, the fence holds.
            log.warning("Could not renew %d lease(s): %s", len(leases), error)
            return
        for lease in leases:
            key = (lease.job_id, lease.attempt)
            if kept.get(key):
                lease.cancelled.set()
            elif key not in kept and key in self._held:
                log.warning("Job %s is no longer held by attempt %d.", lease.job_id, lease.attempt)
                lease.lost.set()
