"""Taking an exclusive lock without making everybody else queue behind a wait for it."""

from __future__ import annotations

import logging
import time

from sqlalchemy.exc import OperationalError

from jobqueue.errors import QueueUnavailableError
from migration_steps.database import offline, run

log = logging.getLogger("alembic.runtime.migration")

# While the migration waits for the lock, whoever comes after it waits too.
WAIT = "1s"
TRIES = 10
PAUSE_SECONDS = 1.0
LOCK_NOT_AVAILABLE = "55P03"


def lock_briefly(table: str) -> None:
    """Lock the table exclusively to the end of the transaction, which therefore must be short.

    Raises ``QueueUnavailableError`` when a long transaction keeps the table; nothing has been changed then.
    """
    if offline():
        return
    for attempt in range(1, TRIES + 1):
        run("SAVEPOINT brief_lock")
        run(f"SET LOCAL lock_timeout = '{WAIT}'")
        try:
            run(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) != LOCK_NOT_AVAILABLE:
                raise
            run("ROLLBACK TO SAVEPOINT brief_lock")
            log.info("The table %s is in use; try %d of %d.", table, attempt, TRIES)
            time.sleep(PAUSE_SECONDS)
        else:
            run("RELEASE SAVEPOINT brief_lock")
            return
    raise QueueUnavailableError(
        f"A long transaction keeps the table {table} in use, so that it cannot be changed; end it and migrate again."
    )
