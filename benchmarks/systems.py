"""The two ways of running the same extraction that the benchmark compares."""

from __future__ import annotations

import uuid
from typing import Protocol

from sqlalchemy import Engine, text

from jobqueue import JobQueueManager
from jobqueue.settings import Settings


class System(Protocol):
    """``table`` has id, created_at, started_at, completed_at and status, whichever system it belongs to."""

    name: str
    table: str
    celery_app: str

    def submit(self, user_id: uuid.UUID) -> uuid.UUID: ...


class MenuJobqueue:
    name = "menu-jobqueue"
    table = "menu_extraction_jobs"
    celery_app = "worker"

    def __init__(self, engine: Engine, settings: Settings, url: str, image_hash: str) -> None:
        self._manager = JobQueueManager(engine, settings=settings)
        self._url = url
        self._image_hash = image_hash

    def submit(self, user_id: uuid.UUID) -> uuid.UUID:
        return self._manager.submit_job(user_id, self._url, self._image_hash, force=True).job.id


class Handwritten:
    name = "Celery + status row"
    table = "handwritten_jobs"
    celery_app = "benchmarks.handwritten"

    def __init__(self, engine: Engine, url: str) -> None:
        # Reads the settings when it is imported, as a worker does, and those exist only now.
        from benchmarks import handwritten  # noqa: PLC0415

        self._engine = engine
        self._url = url
        self._submit = handwritten.submit
        with engine.begin() as connection:
            connection.execute(handwritten.TABLE)

    def submit(self, user_id: uuid.UUID) -> uuid.UUID:
        return self._submit(self._engine, user_id, self._url)


def add_user(engine: Engine) -> uuid.UUID:
    user_id = uuid.uuid4()
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO auth.users (id) VALUES (:id)"), {"id": user_id})
        connection.execute(
            text("""INSERT INTO profiles (id, plan_limits) VALUES (:id, '{"ocr_jobs": -1, "hourly_uploads": -1}')"""),
            {"id": user_id},
        )
    return user_id
