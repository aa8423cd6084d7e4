"""Relaying the event log: number what committed, publish it, hand due jobs to Celery, remember how far it got.

The numbering commits before anything is published, so a cursor that a subscriber has seen never changes its meaning.
What a notifier numbered but did not publish, because it died in between, the next one publishes: at least once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from jobqueue.database import Database
from jobqueue.store.event_log import RelayedEvent, number_pending, unpublished
from jobqueue.store.leadership import Lead, renew_lead
from worker.notifier.dispatcher import Dispatcher
from worker.notifier.publisher import Publisher

log = logging.getLogger(__name__)

BATCH = 200
# Events may come faster than they go out, and whoever drains has more to do than that.
DRAIN_SECONDS = 0.5


class Relay:
    """One leader's relay; ``resume`` once, then ``drain`` again and again.

    Both raise ``LeadLostError`` or ``StaleTermError`` when another notifier has taken the lead.
    """

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        dispatcher: Dispatcher,
        lead: Lead,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._dispatcher = dispatcher
        self._term = lead.term
        self._published = lead.published_cursor
        self._stopping = stopping
        self.has_more = False
        """Whether the last ``drain`` ended before it had relayed everything."""

    def resume(self) -> None:
        """Begin where the leader before stopped, with what it may have left unpublished."""
        self.look_after_redis()  # from here on it takes nothing from the leader before
        self._publish_rest()

    def drain(self) -> int:
        """Relay what there is, which renews the lead; returns how many events that were.

        Ends early after ``DRAIN_SECONDS``, or when the notifier is stopping; ``has_more`` tells so.
        """
        relayed = 0
        end_at = time.monotonic() + DRAIN_SECONDS
        self.has_more = True
        while not self._stopping():
            batch = self._database.statement(
                lambda connection: number_pending(connection, self._term, self._published, BATCH)
            )
            if batch.events and batch.previous == self._published:
                self._publish(batch.events)
            elif batch.previous > self._published:
                # An answer was lost: the same statement numbered events before and could not say which. Those of
                # deleted jobs are gone since.
                self._publish_rest()
                self._published = max(self._published, batch.previous)
            else:
                self.has_more = False
                break
            relayed += len(batch.events)
            if time.monotonic() >= end_at:
                break
        return relayed

    def look_after_redis(self) -> None:
        """Make the term known, so that a Redis that was emptied knows it, and one that is away is noticed."""
        self._publisher.publish(())

    def _publish_rest(self) -> None:
        while rest := self._database.statement(lambda connection: unpublished(connection, self._published, BATCH)):
            self._publish(rest)
            self._database.statement(lambda connection: renew_lead(connection, self._term, self._published))

    def _publish(self, batch: Sequence[RelayedEvent]) -> None:
        for one in batch:
            if one.event is None:
                log.error("An event of job %s (cursor %d) makes no sense and is left out.", one.job_id, one.cursor)
        self._publisher.publish([one.event for one in batch if one.event is not None])
        self._dispatcher.dispatch([one.job_id for one in batch if one.dispatch])
        self._published = batch[-1].cursor
