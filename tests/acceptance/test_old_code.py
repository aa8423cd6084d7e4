"""Programs of the system before this one, on an upgraded database: what they insert is executed by a real worker."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from jobqueue.database import create_database_engine
from jobqueue.legacy import ocr_operations
from jobqueue.migration import migrate
from jobqueue.settings import load_settings
from tests.conftest import LOGS
from tests.eventually import eventually
from tests.image_server import ImageServer
from tests.old_table import OLD_DATABASE
from tests.processes import Processes
from tests.scripted_extractor import RESULT


@pytest.fixture
def old_database(empty_database_url: str) -> Iterator[Engine]:
    engine = create_database_engine(empty_database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(OLD_DATABASE)
    yield engine
    engine.dispose()


@pytest.fixture
def user(old_database: Engine) -> UUID:
    made = uuid4()
    with old_database.begin() as connection:
        connection.execute(text("INSERT INTO auth.users (id) VALUES (:id)"), {"id": made})
    return made


def insert(engine: Engine, user: UUID, images: ImageServer, name: str, status: str = "queued") -> UUID:
    """An old program's own SQL."""
    with engine.begin() as connection:
        made: UUID = connection.execute(
            text("""
                INSERT INTO ocr_jobs (user_id, image_url, image_hash, status) VALUES (:user, :url, :hash, :status)
                RETURNING id
            """),
            {
                "user": user,
                "url": images.url("/menu.png", script="ok", name=name),
                "hash": images.sha256("/menu.png"),
                "status": status,
            },
        ).scalar_one()
        return made


def old_row(engine: Engine, job: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(text("SELECT * FROM ocr_jobs WHERE id = :id"), {"id": job}).one()


def test_jobs_of_old_programs_are_executed(
    request: pytest.FixtureRequest,
    old_database: Engine,
    empty_database_url: str,
    redis_url: str,
    user: UUID,
    image_server: ImageServer,
    tmp_path: Path,
) -> None:
    request.node.stash[LOGS] = [tmp_path]
    left_queued = insert(old_database, user, image_server, "left-queued")
    left_processing = insert(old_database, user, image_server, "left-processing", status="processing")
    migrate(old_database)
    with old_database.begin() as connection:
        # The half minute that old programs get to finish what they began is over.
        connection.execute(text("UPDATE menu_extraction_jobs SET lease_expires_at = now() WHERE status = 'processing'"))

    processes = Processes.for_servers(empty_database_url, redis_url, tmp_path)
    with processes.notifier(), processes.worker():
        inserted = insert(old_database, user, image_server, "inserted")
        ocr_operations.use_database(
            old_database, settings=load_settings(database_url=empty_database_url, redis_url=redis_url)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            url = image_server.url("/menu.png", script="ok", name="submitted")
            # The picture is the same in all of them: the old call is answered with one of those jobs.
            submitted = ocr_operations.submit_job(user, url, image_server.sha256("/menu.png")).id
        assert submitted in (left_queued, left_processing, inserted)
        jobs = (left_queued, left_processing, inserted)

        def statuses() -> set[str]:
            return {old_row(old_database, job).status for job in jobs}

        eventually(lambda: statuses() == {"completed"}, within=40, what="three completed jobs")
        for job in jobs:
            done = old_row(old_database, job)
            assert done.result == RESULT
            assert done.completed_at is not None
            assert done.processing_time >= 0
