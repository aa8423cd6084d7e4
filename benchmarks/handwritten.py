"""What people write by hand: Celery, and a status column that the task updates. Nothing is recovered or announced.

It fetches the picture through the same guarded download, so that the two differ in the queue alone.
"""

from __future__ import annotations

import json
import os
import uuid
from functools import cache

from celery import Celery
from sqlalchemy import Engine, text

from benchmarks.noop import RESULT
from jobqueue.database import create_database_engine
from jobqueue.fetch import fetch_image
from jobqueue.settings import load_settings
from worker import celery_config

app = Celery("handwritten", set_as_current=False)
app.config_from_object(celery_config)
app.conf.task_default_queue = "handwritten"

TABLE = text(
    "CREATE TABLE IF NOT EXISTS handwritten_jobs (id uuid PRIMARY KEY, user_id uuid NOT NULL, image_url text NOT NULL, "
    "status text NOT NULL, result jsonb, created_at timestamptz NOT NULL DEFAULT clock_timestamp(), "
    "started_at timestamptz, completed_at timestamptz)"
)
INSERT = text("INSERT INTO handwritten_jobs (id, user_id, image_url, status) VALUES (:id, :user, :url, 'queued')")
START = text(
    "UPDATE handwritten_jobs SET status = 'processing', started_at = clock_timestamp() "
    "WHERE id = :id RETURNING image_url"
)
FINISH = text(
    "UPDATE handwritten_jobs SET status = 'completed', result = CAST(:result AS jsonb), "
    "completed_at = clock_timestamp() WHERE id = :id"
)


@cache
def engine_of(pid: int) -> Engine:  # noqa: ARG001 - one engine per process, never shared across a fork
    return create_database_engine(load_settings().required_database_url)


@app.task(name="handwritten.extract")  # type: ignore[untyped-decorator]
def extract(job_id: str) -> None:
    engine = engine_of(os.getpid())
    with engine.begin() as connection:
        url = connection.execute(START, {"id": job_id}).scalar_one()
    fetch_image(url, load_settings())
    with engine.begin() as connection:
        connection.execute(FINISH, {"id": job_id, "result": json.dumps(RESULT)})


def submit(engine: Engine, user_id: uuid.UUID, url: str) -> uuid.UUID:
    job_id = uuid.uuid4()
    with engine.begin() as connection:
        connection.execute(INSERT, {"id": job_id, "user": user_id, "url": url})
    extract.apply_async((str(job_id),), task_id=str(job_id))
    return job_id
