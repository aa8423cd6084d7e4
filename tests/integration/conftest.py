"""What several integration tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import redis
from sqlalchemy import Engine

from jobqueue import ExtractionFeedback, JobQueueManager, Settings
from jobqueue import replay as replay_policy
from jobqueue.database import create_database_engine
from jobqueue.legacy import ocr_operations
from jobqueue.migration import migrate
from tests.api_server import api_client, with_secret
from tests.command_line import CommandLine
from tests.integration.old_database import OLD_ROWS, script
from tests.listener_sides import SIDES, MakeSide, Notifier, Side
from tests.old_table import OLD_DATABASE
from tests.strangers import World, world_of_alice


@pytest.fixture
def api(settings: Settings, user_id: UUID) -> Iterator[httpx.Client]:
    with api_client(with_secret(settings), user_id) as client:
        yield client


@pytest.fixture
def run(settings: Settings, user_id: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)  # no .env
    return CommandLine(
        {
            "DATABASE_URL": settings.required_database_url,
            "REDIS_URL": settings.required_redis_url,
            "JOBQUEUE_PRIVATE_IMAGE_HOSTS": "127.0.0.1",
            "JOBQUEUE_USER": str(user_id),
        }
    )


@pytest.fixture
def no_regular_look_into_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would repair sooner or later whatever else is broken, and hide it."""
    monkeypatch.setattr(replay_policy, "CATCH_UP_EVERY_SECONDS", 3600)


@pytest.fixture(params=SIDES)
def make_side(request: pytest.FixtureRequest, engine: Engine, settings: Settings) -> Iterator[MakeSide]:
    made: list[Side] = []

    def make(*, engine: Engine | None = engine, settings: Settings = settings) -> Side:
        made.append(request.param(engine, settings))
        return made[-1]

    yield make
    for one in made:
        one.close()  # a second time where the test has done it


@pytest.fixture
def side(make_side: MakeSide) -> Side:
    return make_side()


@pytest.fixture
def notifier(engine: Engine, redis_client: redis.Redis) -> Notifier:
    return Notifier(engine, redis_client)


@pytest.fixture
def bare(empty_database_url: str) -> Iterator[Engine]:
    made = create_database_engine(empty_database_url)
    yield made
    made.dispose()


@pytest.fixture
def old(bare: Engine) -> Engine:
    script(bare, OLD_DATABASE + OLD_ROWS)
    return bare


@pytest.fixture
def upgraded(old: Engine) -> Engine:
    migrate(old)
    return old


@pytest.fixture
def world(engine: Engine, settings: Settings, manager: JobQueueManager) -> Iterator[World]:
    feedback = ExtractionFeedback(engine, settings=settings)
    ocr_operations.use_database(engine, settings=settings)
    yield world_of_alice(engine, settings, manager, feedback)
    feedback.close()
