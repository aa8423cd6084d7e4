"""The notifier's own connection to Postgres: LISTEN, sleep until something happens, and the lock of a sleeper.

Both belong to a session, so they need a direct connection or a pooler in session mode; in transaction mode neither
works, which is found out at the start and said.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import uuid4

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection

from jobqueue.database import CONNECT_TIMEOUT_SECONDS, KEEPALIVE
from worker.postgres_deadline import DeadlineConnection

CHANNELS = ("menu_extraction_jobs", "menu_extraction_jobs_wake_up")
PROBE_CHANNEL = "menu_extraction_notifier_probe"
SLEEP_LOCK = "menu_extraction_notifier_sleeps"
# The lock of a sleeper that was stopped, or cut off without a word, goes with its session after this long.
SESSION_ENDS_AFTER_SECONDS = 15
CHECK_EVERY_SECONDS = 2.0
PROBE_WITHIN_SECONDS = 5.0

Notify = Callable[[str, str], None]
"""Sends a payload to a Postgres channel from another session than the one that listens."""


class SessionLostError(Exception):
    """The address leads to a pooler in transaction mode, or to another database than the rest of the notifier's."""

    def __init__(self) -> None:
        super().__init__(
            "The notifier hears no notifications at its address: it cannot work through a connection pooler in "
            "transaction mode; set JOBQUEUE_NOTIFIER_DATABASE_URL to a direct or session-mode address of the same "
            "database."
        )


class WakeUpConnection:
    """Raises ``psycopg2.Error`` when the connection is gone, silently too; open a new one then.

    Opening raises ``SessionLostError`` where what a session keeps is lost between two statements.
    """

    def __init__(self, dsn: str, notify: Notify) -> None:
        self._connection: connection = psycopg2.connect(
            dsn,
            connection_factory=_WakeUp,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="menu-jobqueue notifier",
            **KEEPALIVE,
        )
        self._connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
        self._asked_at = time.monotonic()
        try:
            self._prove_session(notify)
            self._end_session_when_silent()
            for channel in CHANNELS:
                self._execute(f"LISTEN {channel}")
        except BaseException:
            self.close()
            raise

    def try_announce_sleep(self) -> bool:
        """Tell writers that from now on they must notify; false while one is about to commit without doing so."""
        return bool(self._execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", SLEEP_LOCK))

    def end_sleep(self) -> None:
        self._execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", SLEEP_LOCK)

    def notify_mode(self) -> str:
        """``every_change`` also when the setting was deleted, as for the trigger."""
        mode = self._execute("SELECT max(value) FROM menu_extraction_settings WHERE name = 'notify_mode'")
        return "every_change" if mode is None else str(mode)

    def wait(self, timeout: float, interrupt: int) -> None:
        """Sleep until a notification comes, ``timeout`` seconds pass, or ``interrupt`` becomes readable.

        Now and then it asks for an answer first: a connection that is silently dead brings no notification either.
        """
        if time.monotonic() - self._asked_at >= CHECK_EVERY_SECONDS:
            self._execute("SELECT 1")
        self._sleep(timeout, interrupt)
        self._connection.notifies.clear()

    def close(self) -> None:
        self._connection.close()

    def _sleep(self, timeout: float, *interrupts: int) -> None:
        # libpq reads notifications during our own queries; a select() would sleep on them.
        if not self._connection.notifies:
            select.select([self._connection, *interrupts], [], [], timeout)
            self._connection.poll()

    def _prove_session(self, notify: Notify) -> None:
        """Hear a notification while doing nothing: what a pooler in transaction mode cannot bring.

        However many connections to the server it has, and whichever of them it hands out.
        """
        if len({self._execute("SELECT pg_backend_pid()") for _ in range(3)}) > 1:
            raise SessionLostError
        token = uuid4().hex
        self._execute(f"LISTEN {PROBE_CHANNEL}")
        notify(PROBE_CHANNEL, token)
        give_up_at = time.monotonic() + PROBE_WITHIN_SECONDS
        while not (heard := any(one.payload == token for one in self._connection.notifies)):
            self._connection.notifies.clear()
            left = give_up_at - time.monotonic()
            if left <= 0:
                break
            self._sleep(left)
        self._execute(f"UNLISTEN {PROBE_CHANNEL}")
        if not heard:
            raise SessionLostError

    def _end_session_when_silent(self) -> None:
        # Before version 14 Postgres has no such setting.
        self._execute(
            "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = 'idle_session_timeout'",
            f"{SESSION_ENDS_AFTER_SECONDS}s",
        )

    def _execute(self, statement: str, *values: Any) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            self._asked_at = time.monotonic()
            row = cursor.fetchone() if cursor.description else None
            return None if row is None else row[0]


class _WakeUp(DeadlineConnection):
    answer_within: ClassVar[float] = 2.0
