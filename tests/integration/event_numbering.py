"""Numbering events as the notifier does, and reading a user's log."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, Engine, text

from jobqueue import JobEvent
from jobqueue.database import Database
from jobqueue.store.event_log import events_after, number_pending

INSERT = text("INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES (:user, 'x') RETURNING id")


def number(connection: Connection, batch: int = 100) -> list[JobEvent]:
    return [one.event for one in number_pending(connection, 0, 0, batch).events if one.event]


def number_all(engine: Engine) -> list[JobEvent]:
    return Database(engine).run(number)


def log(engine: Engine, user_id: UUID, after: int = 0) -> list[JobEvent]:
    return Database(engine).run(lambda c: events_after(c, user_id, after, 1000))
