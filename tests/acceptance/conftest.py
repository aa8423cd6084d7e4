"""The running system: a worker and a notifier that live as long as the test run, and a user to submit for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine, make_url

from jobqueue import ExtractionJob, JobQueueManager, Settings
from jobqueue.database import create_database_engine
from jobqueue.migration import migrate
from jobqueue.settings import load_settings
from tests.conftest import LOGS, DatabaseMaker, add_user
from tests.image_server import ImageServer
from tests.processes import Processes
from tests.scripted_extractor import executions_key
from tests.tcp_proxy import TcpProxy


@dataclass(frozen=True, slots=True)
class Running:
    """Where the system runs and what its processes print."""

    settings: Settings
    engine: Engine
    logs: Path


@pytest.fixture(scope="session")
def _running(
    database_maker: DatabaseMaker, process_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    logs = tmp_path_factory.mktemp("running")
    with database_maker.database() as url:
        engine = create_database_engine(url)
        migrate(engine)
        processes = Processes.for_servers(url, process_redis_url, logs)
        with processes.notifier(), processes.worker():
            yield Running(load_settings(database_url=url, redis_url=process_redis_url), engine, logs)
        engine.dispose()


@pytest.fixture
def running(request: pytest.FixtureRequest, _running: Running) -> Running:
    request.node.stash[LOGS] = [_running.logs]
    return _running


class Application:
    """A program that uses the library, and counts the executions of what it submitted."""

    def __init__(self, manager: JobQueueManager, user_id: UUID, images: ImageServer, client: redis.Redis) -> None:
        self.manager = manager
        self.user_id = user_id
        self.images = images
        self.redis = client

    def submit(self, script: str = "ok", *, path: str = "/menu.png", image_hash: str | None = None) -> ExtractionJob:
        digest = image_hash or self.images.sha256(path)
        url = self.images.url(path, script=script)
        return self.manager.submit_job(self.user_id, url, digest, force=True).job

    def finished(self, job: ExtractionJob, within: float = 40) -> ExtractionJob:
        return self.manager.wait_for_job(job.id, self.user_id, timeout=within)

    def executions(self, job: ExtractionJob) -> int:
        return int(self.redis.get(executions_key(job.image_url)) or 0)

    def story(self, job: ExtractionJob) -> list[str]:
        return [entry.status.value for entry in self.manager.job_history(job.id)]


MakeApplication = Callable[[Settings, Engine], Application]


@pytest.fixture
def make_application(image_server: ImageServer) -> Iterator[MakeApplication]:
    opened: list[Any] = []

    def make(settings: Settings, engine: Engine) -> Application:
        manager = JobQueueManager(engine, settings=settings)
        client = redis.Redis.from_url(settings.required_redis_url, socket_timeout=None)
        opened.extend((manager, client))
        return Application(manager, add_user(engine), image_server, client)

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def application(running: Running, make_application: MakeApplication) -> Application:
    """On the system that runs as long as the tests do."""
    return make_application(running.settings, running.engine)


@pytest.fixture
def own_application(settings: Settings, engine: Engine, make_application: MakeApplication) -> Application:
    """On this test's own servers, whose processes the test starts."""
    return make_application(settings, engine)


@pytest.fixture
def database_proxy(engine: Engine) -> Iterator[TcpProxy]:
    proxy = TcpProxy(("127.0.0.1", engine.url.port or 0))
    with proxy.running():
        yield proxy


@pytest.fixture
def behind_proxy(database_proxy: TcpProxy, database_url: str) -> str:
    """The database's URL through the proxy."""
    return make_url(database_url).set(host="127.0.0.1", port=database_proxy.port).render_as_string(hide_password=False)
