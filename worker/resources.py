"""What one worker process needs: made when first used, so after Celery has forked, and never shared across a fork."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

import redis

from jobqueue.database import Database
from jobqueue.extraction import Extractor
from jobqueue.redis_connection import connect_redis
from jobqueue.settings import Settings, load_settings
from worker.extractors.loading import load_extractor
from worker.lease_keeper import LeaseKeeper
from worker.postgres_deadline import deadline_engine


@dataclass(frozen=True, slots=True)
class WorkerResources:
    settings: Settings
    database: Database
    redis: redis.Redis
    extractor: Extractor
    leases: LeaseKeeper


# Connections beyond these few are opened for a burst and closed after it: a pool of fifty threads writes seldom, and
# fifty idle connections for each process would be a burden on Postgres.
LASTING_CONNECTIONS = 5

_lock = threading.Lock()
_threads = 1
_made: tuple[int, WorkerResources] | None = None


def worker_resources() -> WorkerResources:
    """This process's resources. Raises ``InvalidInputError`` when a setting is missing or wrong."""
    global _made  # noqa: PLW0603 - one set per process is the point
    with _lock:
        if _made is None or _made[0] != os.getpid():
            _made = (os.getpid(), _make())
        return _made[1]


def expect_threads(count: int) -> None:
    """Say before the resources are first used how many threads of this process run jobs at once."""
    global _threads  # noqa: PLW0603 - as above
    _threads = count


def _make() -> WorkerResources:
    settings = load_settings()
    engine = deadline_engine(
        settings.required_database_url,
        pool_size=LASTING_CONNECTIONS,
        # One for each thread and one for the lease keeper, so that none ever waits for another's.
        max_overflow=max(0, _threads + 1 - LASTING_CONNECTIONS),
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
