"""Relaying the event log: number what committed, publish it, hand due jobs to Celery, remember how far it got.

The numbering commits before anything is published, so a cursor that a subscriber has seen never changes its meaning.
What a notifier numbered but did not publish, because it died in between, the next one publishes: at least once.
"""

from __future__ import annotations

from collections.abc import Sequence

import redis

from jobqueue.database import Database
from jobqueue.store.event_log import RelayedEvent, number_pending, published_cursor, unpublished
from worker.notifier.dispatcher import Dispatcher
from worker.notifier.publisher import publish_events

BATCH = 200


class Relay:
    """One leader's relay; ``resume`` once, then ``drain`` again and again."""

    def __init__(self, database: Database, client: redis.Redis, dispatcher: Dispatcher) -> None:
        self._database = database
        self._client = client
        self._dispatcher = dispatcher
        self._published = 0

    def resume(self) -> None:
        """Begin where the leader before stopped, with what it may have left unpublished."""
        self._published = self._database.statement(published_cursor)
        self._publish_rest()

    def drain(self) -> int:
        """Relay everything there is; returns how many events that were."""
        relayed = 0
        while True:
            batch = self._database.statement(lambda connection: number_pending(connection, self._published, BATCH))
            if not batch.events:
                return relayed
            if batch.previous == self._published:
                self._publish(batch.events)
            else:
                # Another notifier numbered events in between: it led, or still believes it does.
                self._publish_rest()
            relayed += len(batch.events)

    def _publish_rest(self) -> None:
        while rest := self._database.statement(lambda connection: unpublished(connection, self._published, BATCH)):
            self._publish(rest)

    def _publish(self, batch: Sequence[RelayedEvent]) -> None:
        publish_events(self._client, [one.event for one in batch])
        self._dispatcher.dispatch([one.event.job_id for one in batch if one.dispatch])
        self._published = batch[-1].event.cursor
