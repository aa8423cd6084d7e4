"""Asking Postgres and Redis how the queue is."""

from __future__ import annotations

from dataclasses import dataclass

from redis.exceptions import RedisError

from jobqueue.database import Database
from jobqueue.errors import JobQueueError
from jobqueue.health import MAX_QUEUE_SECONDS, Problem, QueueState, assess, assess_worker
from jobqueue.redis_connection import connect_redis, trouble
from jobqueue.settings import Settings
from jobqueue.store.queue_state import queue_state

REDIS_TIMEOUT_SECONDS = 2.0
# Whoever asks wants to hear that Postgres stands still, and not to stand still with it.
DATABASE_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class HealthReport:
    """``ready``: jobs can be submitted. ``problems``: what keeps them from being done; without any all is well.

    ``state`` is ``None`` where the database could not be asked.
    """

    ready: bool
    problems: tuple[Problem, ...]
    state: QueueState | None

    @property
    def healthy(self) -> bool:
        return not self.problems


def check_health(
    database: Database,
    settings: Settings,
    max_queue_seconds: float = MAX_QUEUE_SECONDS,
    worker: str | None = None,
) -> HealthReport:
    """Raises nothing: what is wrong stands in the report. Redis is asked where ``REDIS_URL`` is set.

    With ``worker`` only what is wrong with that one.
    """
    redis_problems = () if worker is not None else _of_redis(settings)
    try:
        state = database.statement(queue_state, DATABASE_TIMEOUT_SECONDS)
    except JobQueueError as error:
        return HealthReport(False, (Problem(error.code, error.message), *redis_problems), None)
    problems = assess(state, max_queue_seconds) if worker is None else assess_worker(state, worker)
    return HealthReport(True, (*redis_problems, *problems), state)


def _of_redis(settings: Settings) -> tuple[Problem, ...]:
    if settings.redis_url is None:
        return ()
    limits = {"socket_timeout": REDIS_TIMEOUT_SECONDS, "socket_connect_timeout": REDIS_TIMEOUT_SECONDS}
    try:
        with connect_redis(settings.required_redis_url, **limits) as client:
            client.ping()
    except JobQueueError as error:
        return (Problem("REDIS_AWAY", error.message),)
    except (RedisError, OSError) as error:
        reason = trouble(error)
        message = f"Redis cannot be used ({reason}): nothing is announced and no job handed to a worker until it can."
        return (Problem("REDIS_AWAY", message),)
    return ()
