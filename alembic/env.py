"""Runs the migrations against DATABASE_URL, or on the connection that ``jobqueue.migration`` hands over."""

from __future__ import annotations

import sys
import time
from logging.config import fileConfig
from pathlib import Path

from alembic import context
from sqlalchemy import Connection, text

from jobqueue.database import create_database_engine
from jobqueue.settings import load_settings
from jobqueue.tables import metadata

config = context.config
# The revisions import what they share from beside them.
sys.path.append(str(Path(__file__).parent))
from migration_steps.ownership import is_ours  # noqa: E402

LOCK = "hashtextextended('menu_extraction_migration', 0)"
POLL_SECONDS = 0.1


def wait_for_turn(connection: Connection) -> None:
    """Of several migrations begun at once one works and the others find everything done.

    Asked for again and again: a session that waits for the lock in one statement keeps a snapshot, and building an
    index in the first migration would wait for that snapshot for ever.
    """
    while not connection.execute(text(f"SELECT pg_try_advisory_lock({LOCK})")).scalar():
        connection.commit()
        time.sleep(POLL_SECONDS)
    # A lock of the session survives the commit; an open transaction would make Alembic leave its own to us.
    connection.commit()


def run(connection: Connection) -> None:
    wait_for_turn(connection)
    # One transaction for the whole chain would keep every lock until the end of the last revision.
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        include_object=is_ours,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.execute(text(f"SELECT pg_advisory_unlock({LOCK})"))
    connection.commit()


def run_offline() -> None:
    context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = config.attributes.get("connection")
if context.is_offline_mode():
    run_offline()
elif given is not None:
    run(given)
else:
    if config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    engine = create_database_engine(load_settings().required_database_url)
    with engine.connect() as connection:
        run(connection)
    engine.dispose()
