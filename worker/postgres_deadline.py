"""A limit on every wait for Postgres, so that a connection whose other end is silently gone is noticed.

TCP finds a peer that vanished only when packets go unacknowledged, and a network device in between may acknowledge
them for ever. libpq has no limit of its own for an answer; psycopg2 lets a process wait in its stead, all connections
of the process alike. Only ours have a limit; those that others open here wait as long as they would anyway.
In an application's process that switch is not ours to set: see ``jobqueue.answer_deadline``.
"""

from __future__ import annotations

import select
import time
from typing import Any, ClassVar

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Engine

from jobqueue.database import create_database_engine


class DeadlineConnection(extensions.connection):  # type: ignore[misc] # psycopg2 ships no types
    """Raises ``psycopg2.OperationalError``, closed, when Postgres does not answer within ``answer_within`` seconds."""

    answer_within: ClassVar[float] = 5.0


def limit_waits() -> None:
    """Let deadlines hold in this process, from now on and for all its threads."""
    extensions.set_wait_callback(_wait)


def deadline_engine(url: str, **options: Any) -> Engine:
    """An engine of a worker process, whose connections all have the limit."""
    limit_waits()
    return create_database_engine(
        url,
        application_name="menu-jobqueue worker",
        connect_args={"connection_factory": DeadlineConnection},
        **options,
    )


def _wait(connection: Any) -> None:
    limit: float | None = getattr(connection, "answer_within", None)
    give_up_at = None if limit is None else time.monotonic() + limit
    events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
    while (state := connection.poll()) != extensions.POLL_OK:
        waiting = select.poll()
        waiting.register(connection.fileno(), events[state])
        left = None if give_up_at is None else max(0.0, give_up_at - time.monotonic()) * 1000
        if not waiting.poll(left):
            raise psycopg2.OperationalError(f"Postgres did not answer within {limit:g} seconds")
