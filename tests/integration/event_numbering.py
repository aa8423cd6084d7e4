"""Leading and numbering events as the notifier does, and reading a user's log."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, Engine, select, text

from jobqueue import JobEvent
from jobqueue.database import Database
from jobqueue.store.event_log import events_after, number_pending
from jobqueue.store.leadership import Lead, take_lead
from jobqueue.tables import RELAY

INSERT = text("INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES (:user, 'x') RETURNING id")


def lead(engine: Engine) -> Lead:
    """A new term, which ends those before."""
    taken = Database(engine).run(lambda c: take_lead(c, "a test"))
    assert taken is not None
    return taken


def number(connection: Connection, batch: int = 100) -> list[JobEvent]:
    """In the newest term."""
    term = connection.execute(select(RELAY.c.term)).scalar_one()
    return [one.event for one in number_pending(connection, term, 0, batch).events if one.event]


def number_all(engine: Engine) -> list[JobEvent]:
    return Database(engine).run(number)


def log(engine: Engine, user_id: UUID, after: int = 0) -> list[JobEvent]:
    return Database(engine).run(lambda c: events_after(c, user_id, after, 1000))
