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
from jobqueue.errors import CursorExpiredError
from jobqueue.event_stream import EventStream
from jobqueue.events import JobEvent
from jobqueue.redis_connection import SUBSCRIBER_TIMEOUTS, connect_redis
from jobqueue.replay import NOBODY_TOLD
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
        self._client = connect_redis(settings.required_redis_url, **SUBSCRIBER_TIMEOUTS)
        self._database, self._own_engine = open_database(engine_or_session_factory, settings)
        # Weak: a listener may live as long as its application and serve subscriptions without number.
        self._streams: WeakSet[EventStream] = WeakSet()
        self._threads: WeakSet[threading.Thread] = WeakSet()
        self._lock = threading.Lock()

    def events(self, user_id: UUID | str, after: int | None = None) -> EventStream:
        """A blocking iterator over the user's events from now on, or over all later than the cursor ``after``.

        Subscribed when it returns: nothing that happens afterwards is missed, however late iteration begins. Before the
        cursor 0 there is nothing: it asks for all that ever happened. Raises ``InvalidInputError`` for a malformed
        argument, ``QueueUnavailableError`` when Postgres is away, and ``CursorExpiredError`` when events behind the
        cursor have been pruned or the cursor is of another database's log; iteration raises it too, should it fall so
        far behind or the database be restored to an earlier state.
        """
        stream = EventStream(self._client, self._database, checked_uuid(user_id, "user_id"), checked_cursor(after))
        with self._lock:
            self._streams.add(stream)
        return stream

    def subscribe(
        self,
        user_id: UUID | str,
        on_job_update: Callable[[JobEvent], Any],
        after: int | None = None,
        on_expired: Callable[[CursorExpiredError], Any] | None = None,
    ) -> Callable[[], None]:
        """Call ``on_job_update(event)`` for each event, in a thread of its own; returns ``unsubscribe``.

        A callback that raises is logged and the next event is delivered. After ``unsubscribe()`` has returned no
        further call begins, unless it is called from the callback itself. Raises what ``events`` does. Should later
        events be pruned before the callback got to them, or the database be restored, ``on_expired(error)`` is called
        with the snapshot and the subscription goes on behind it; without ``on_expired`` the log says so.
        """
        stream = self.events(user_id, after)
        thread = threading.Thread(
            target=_deliver, args=(stream, on_job_update, on_expired), name="job-notifications", daemon=True
        )
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


def _deliver(
    stream: EventStream,
    on_job_update: Callable[[JobEvent], Any],
    on_expired: Callable[[CursorExpiredError], Any] | None,
) -> None:
    with stream:
        while True:
            try:
                for event in stream:
                    _call(on_job_update, event, f"on event {event.seq} of job {event.job_id}")
            except CursorExpiredError as error:
                if on_expired is None:
                    log.error(NOBODY_TOLD, error.cursor)  # noqa: TRY400 - no traceback: nothing of ours went wrong
                else:
                    _call(on_expired, error, "on an expired cursor")
            else:
                return


def _call(callback: Callable[[Any], Any], argument: Any, occasion: str) -> None:
    try:
        callback(argument)
    except Exception:
        log.exception("A callback failed %s.", occasion)
