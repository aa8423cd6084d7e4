"""What one worker process needs: made when first used, so after Celery has forked, and never shared across a fork."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

import redis

from jobqueue.database import Database, create_database_engine
from jobqueue.extraction import Extractor
from jobqueue.redis_connection import connect_redis
from jobqueue.settings import Settings, load_settings
from worker.extractors.loading import load_extractor
from worker.lease_keeper import LeaseKeeper
from worker.postgres_deadline import DeadlineConnection, limit_waits


@dataclass(frozen=True, slots=True)
class WorkerResources:
    settings: Settings
    database: Database
    redis: redis.Redis
    extractor: Extractor
    leases: LeaseKeeper


_lock = threading.Lock()
_made: tuple[int, WorkerResources] | None = None


def worker_resources() -> WorkerResources:
    """This process's resources. Raises ``InvalidInputError`` when a setting is missing or wrong."""
    global _made  # noqa: PLW0603 - one set per process is the point
    with _lock:
        if _made is None or _made[0] != os.getpid():
            _made = (os.getpid(), _make())
        return _made[1]


def _make() -> WorkerResources:
    settings = load_settings()
    limit_waits()
    engine = create_database_engine(
        settings.required_database_url,
        application_name="menu-jobqueue worker",
        connect_args={"connection_factory": DeadlineConnection},
    )
    database = Database(engine)
    return WorkerResources(
        settings=settings,
        database=database,
        # Progress is best effort: a Redis that hangs must not hold up an extraction for long.
        redis=connect_redis(settings.required_redis_url, socket_timeout=1, socket_connect_timeout=1),
        extractor=load_extractor(settings.extractor),
        leases=LeaseKeeper(database, settings.lease_seconds),
    )
