"""The notifier's own connection to Postgres: LISTEN, sleep until something happens, and the locks of a session.

A session's advisory locks and LISTEN need a direct connection or a pooler in session mode; in transaction mode
neither works, which ``open`` finds out and says.
"""

from __future__ import annotations

import select
from typing import Any

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection

from jobqueue.database import CONNECT_TIMEOUT_SECONDS, KEEPALIVE
from jobqueue.errors import QueueUnavailableError

CHANNELS = ("menu_extraction_jobs", "menu_extraction_jobs_wake_up")
LEADER_LOCK = "menu_extraction_notifier_leads"
SLEEP_LOCK = "menu_extraction_notifier_sleeps"


class WakeUpConnection:
    """Raises ``psycopg2.Error`` when the connection is gone; open a new one then."""

    def __init__(self, dsn: str) -> None:
        self._connection: connection = psycopg2.connect(
            dsn, connect_timeout=CONNECT_TIMEOUT_SECONDS, application_name="menu-jobqueue notifier", **KEEPALIVE
        )
        self._connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
        try:
            self._refuse_transaction_pooler()
            for channel in CHANNELS:
                self._execute(f"LISTEN {channel}")
        except BaseException:
            self.close()
            raise

    def try_lead(self) -> bool:
        """Become the one working notifier; false while another one is. Lasts as long as this connection."""
        return bool(self._execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", LEADER_LOCK))

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
        """Sleep until a notification comes, ``timeout`` seconds pass, or ``interrupt`` becomes readable."""
        # libpq reads notifications during our own queries; a select() would sleep on them.
        if not self._connection.notifies:
            select.select([self._connection, interrupt], [], [], timeout)
            self._connection.poll()
        self._connection.notifies.clear()

    def close(self) -> None:
        self._connection.close()

    def _refuse_transaction_pooler(self) -> None:
        # In transaction mode two statements in a row may meet two server processes, or one that others use as well.
        pids = {self._execute("SELECT pg_backend_pid()") for _ in range(3)}
        if pids != {self._connection.get_backend_pid()}:
            raise QueueUnavailableError(
                "The notifier cannot work through a connection pooler in transaction mode; "
                "set JOBQUEUE_NOTIFIER_DATABASE_URL to a direct or session-mode address."
            )

    def _execute(self, statement: str, *values: Any) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone()[0] if cursor.description else None
