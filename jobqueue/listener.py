"""Subscribing to a user's job events from ordinary (blocking) code."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from uuid import UUID
from weakref import WeakSet

from sqlalchemy import Engine

from jobqueue.arguments import checked_cursor, checked_uuid
from jobqueue.database import SessionFactory
from jobqueue.event_stream import EventStream
from jobqueue.events import JobEvent
from jobqueue.redis_connection import connect_redis
from jobqueue.resources import open_database
from jobqueue.settings import Settings, load_settings

log = logging.getLogger(__name__)


class JobNotificationListener:
    """Delivers every status change of a user's jobs, in order per job, across broken connections.

    Without arguments it reads the settings. One listener serves any number of subscriptions; each has a connection to
    Redis and, for callbacks, a thread of its own, so a slow callback holds up nobody else.
    """

    def __init__(
        self, engine_or_session_factory: Engine | SessionFactory | None = None, *, settings: Settings | None = None
    ) -> None:
        settings = settings or load_settings()
        self._client = connect_redis(settings.required_redis_url)
        self._database, self._own_engine = open_database(engine_or_session_factory, settings)
        # Weak: a listener may live as long as its application and serve subscriptions without number.
        self._streams: WeakSet[EventStream] = WeakSet()
        self._threads: WeakSet[threading.Thread] = WeakSet()
        self._lock = threading.Lock()

    def events(self, user_id: UUID | str, after: int | None = None) -> EventStream:
        """A blocking iterator over the user's events from now on, or over all later than the cursor ``after``.

        Subscribed when it returns: nothing that happens afterwards is missed, however late iteration begins.
        Raises ``InvalidInputError`` for a malformed argument, ``QueueUnavailableError`` when Postgres is away.
        """
        stream = EventStream(self._client, self._database, checked_uuid(user_id, "user_id"), checked_cursor(after))
        with self._lock:
            self._streams.add(stream)
        return stream

    def subscribe(
        self, user_id: UUID | str, on_job_update: Callable[[JobEvent], Any], after: int | None = None
    ) -> Callable[[], None]:
        """Call ``on_job_update(event)`` for each event, in a thread of its own; returns ``unsubscribe``.

        A callback that raises is logged and the next event is delivered. After ``unsubscribe()`` has returned no
        further call begins, unless it is called from the callback itself.
        """
        stream = self.events(user_id, after)
        thread = threading.Thread(target=_deliver, args=(stream, on_job_update), name="job-notifications", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

        def unsubscribe() -> None:
            stream.close()
            if thread is not threading.current_thread():
                thread.join()

        return unsubscribe

    def close(self) -> None:
        """End all subscriptions and connections."""
        with self._lock:
            streams, threads = list(self._streams), list(self._threads)
        for stream in streams:
            stream.close()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()
        self._client.close()
        if self._own_engine is not None:
            self._own_engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _deliver(stream: EventStream, on_job_update: Callable[[JobEvent], Any]) -> None:
    with stream:
        for event in stream:
            try:
                on_job_update(event)
            except Exception:
                log.exception("A callback failed on event %s of job %s.", event.seq, event.job_id)
