"""Opening what the settings name, unless the application brings its own."""

from __future__ import annotations

from sqlalchemy import Engine

from jobqueue.database import Database, SessionFactory, create_database_engine
from jobqueue.errors import InvalidInputError
from jobqueue.settings import Settings


def open_database(given: Engine | SessionFactory | None, settings: Settings) -> tuple[Database, Engine | None]:
    """The database to use, and the engine to dispose of afterwards if it was made here."""
    if given is None:
        engine = create_database_engine(settings.required_database_url)
        return Database(engine), engine
    if isinstance(given, Engine) or callable(given):
        return Database(given), None
    raise InvalidInputError(
        "Give an SQLAlchemy Engine, a session factory, or nothing to use DATABASE_URL.", argument="engine"
    )
