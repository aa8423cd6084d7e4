"""Bringing a database to this version's tables; the same as ``alembic upgrade head``."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Engine

from jobqueue.database import translated_errors
from jobqueue.errors import QueueUnavailableError

_PACKAGED = Path(__file__).parent / "migrations"
_IN_CHECKOUT = Path(__file__).parent.parent / "alembic"


def migrations_folder() -> Path:
    """Where the migration scripts lie: inside an installed package, or at the top of a checkout."""
    for folder in (_PACKAGED, _IN_CHECKOUT):
        if (folder / "env.py").is_file():
            return folder
    raise QueueUnavailableError("The migration scripts are missing from this installation; install it again.")


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to ``revision``. Several processes may do so at once: the first one does it, the others wait.

    Raises ``QueueUnavailableError`` when the database cannot be reached or a newer version has migrated it.
    """
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    with translated_errors(), engine.connect() as connection:
        # Whatever the engine's own level, each revision is one transaction, apart from the parts that end theirs.
        config.attributes["connection"] = connection.execution_options(isolation_level="READ COMMITTED")
        try:
            command.upgrade(config, revision)
        except CommandError:
            raise QueueUnavailableError(
                "The database holds a revision that this version does not know; install the version that migrated it."
            ) from None
        finally:
            # Closed instead of pooled, so that the migration's lock goes with it, after a failure too.
            connection.invalidate()
