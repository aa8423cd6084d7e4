"""Relaying the event log: number what committed, publish it, hand due jobs to Celery, remember how far it got.

The numbering commits before anything is published, so a cursor that a subscriber has seen never changes its meaning.
What a notifier numbered but did not publish, because it died in between, the next one publishes: at least once.
"""

from __future__ import annotations

import redis
from sqlalchemy import Connection

from jobqueue.database import Database
from jobqueue.store.event_log import RelayedEvent, lock_relay, mark_published, number_pending, unpublished
from worker.notifier.dispatcher import Dispatcher
from worker.notifier.publisher import publish_events

BATCH = 500


class Relay:
    def __init__(self, database: Database, client: redis.Redis, dispatcher: Dispatcher) -> None:
        self._database = database
        self._client = client
        self._dispatcher = dispatcher
        self._published = 0

    def drain(self) -> int:
        """Relay everything there is; returns how many events that were."""
        relayed = 0
        while batch := self._database.run(self._take):
            publish_events(self._client, [one.event for one in batch])
            self._dispatcher.dispatch([one.event.job_id for one in batch if one.dispatch])
            # Recorded by the transaction that takes the next batch; if it never comes, this batch goes out again.
            self._published = batch[-1].event.cursor
            relayed += len(batch)
        return relayed

    def _take(self, connection: Connection) -> list[RelayedEvent]:
        position = lock_relay(connection)
        if self._published > position.published_cursor:
            mark_published(connection, self._published)
        published = max(self._published, position.published_cursor)
        if position.last_cursor > published:
            return unpublished(connection, published, BATCH)
        return number_pending(connection, position.last_cursor, BATCH)
