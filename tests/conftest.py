"""What every test may use: a database of its own, its own Redis, and the real processes."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from sqlalchemy import Engine, make_url, text

from jobqueue import JobQueueManager, Settings
from jobqueue.database import create_database_engine
from jobqueue.migration import migrate
from jobqueue.settings import load_settings
from tests.image_server import ImageServer
from tests.processes import Processes

pytest_plugins = ["tests.servers"]
# They take minutes, and everything down with them: make test-faults names them.
collect_ignore = ["faults"]

# The first half of Valkey's logical databases belongs to tests, the second to the processes that live longer than one.
PROCESS_DATABASES_FROM = 32
# A test that failed may have left sessions behind, with locks.
EMPTY_DATABASE = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    DELETE FROM auth.users;
    DELETE FROM menu_extraction_workers;
    UPDATE menu_extraction_relay SET last_cursor = 0, published_cursor = 0, term = 0,
        leader = NULL, lead_until = NULL, relayed_at = NULL, swept_at = NULL;
    UPDATE menu_extraction_settings SET value = 'every_change' WHERE name = 'notify_mode';
"""
UNLIMITED_PLAN = {"ocr_jobs": -1, "hourly_uploads": -1}
LOGS = pytest.StashKey[list[Path]]()


class DatabaseMaker:
    """Makes and drops databases whose names no other run and no other test worker uses."""

    def __init__(self, server_url: str, prefix: str) -> None:
        self._url = make_url(server_url)
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._admin = create_database_engine(server_url, isolation_level="AUTOCOMMIT")
        with self._admin.connect() as connection:
            version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
        # Without it Postgres 15 and later write the whole copy into the log: four times as long.
        self._strategy = "STRATEGY FILE_COPY" if version >= 150_000 else ""

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new database, which goes with the block whoever is still connected to it."""
        name = f"{self._prefix}_{next(self._numbers)}"
        with self._admin.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template1 {self._strategy}'))
        yield self._url.set(database=name).render_as_string(hide_password=False)
        with self._admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))

    def close(self) -> None:
        self._admin.dispose()


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A run in the background of a shell ignores SIGINT, and everything it starts would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def database_maker(postgres_url: str) -> Iterator[DatabaseMaker]:
    maker = DatabaseMaker(postgres_url, f"test_{uuid4().hex[:12]}")
    yield maker
    maker.close()


@pytest.fixture
def empty_database_url(database_maker: DatabaseMaker) -> Iterator[str]:
    """A database that was never migrated, for tests that change tables."""
    with database_maker.database() as url:
        yield url


@pytest.fixture(scope="session")
def _migrated_database(database_maker: DatabaseMaker) -> Iterator[tuple[str, Engine]]:
    with database_maker.database() as url:
        engine = create_database_engine(url, isolation_level="AUTOCOMMIT", application_name="tests")
        migrate(engine)
        yield url, engine
        engine.dispose()


@pytest.fixture
def database_url(_migrated_database: tuple[str, Engine]) -> Iterator[str]:
    """A migrated database without rows. One for each test worker: emptying it takes a hundredth of making another."""
    url, engine = _migrated_database
    yield url
    with engine.connect() as connection:
        connection.exec_driver_sql(EMPTY_DATABASE)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_database_engine(database_url, pool_size=20)
    yield made
    made.dispose()


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """This test worker's logical database, empty."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushdb()
    return valkey_url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, socket_timeout=None) as client:
        yield client


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return load_settings(
        database_url=database_url, redis_url=redis_url, private_image_hosts=frozenset({"127.0.0.1"}), retry_backoff=0.05
    )


@pytest.fixture
def manager(engine: Engine, settings: Settings) -> Iterator[JobQueueManager]:
    made = JobQueueManager(engine, settings=settings)
    yield made
    made.close()


def add_user(engine: Engine, plan: str | None = "free", plan_limits: Any = UNLIMITED_PLAN) -> UUID:
    """A user with a profile; without limits unless the test is about them."""
    user = uuid4()
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO auth.users (id) VALUES (:id)"), {"id": user})
    set_plan(engine, user, plan, plan_limits)
    return user


def set_plan(engine: Engine, user_id: UUID, plan: str | None, plan_limits: Any = None) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO profiles (id, plan, plan_limits) VALUES (:id, :plan, CAST(:plan_limits AS jsonb))
                ON CONFLICT (id) DO UPDATE SET plan = EXCLUDED.plan, plan_limits = EXCLUDED.plan_limits
            """),
            {"id": user_id, "plan": plan, "plan_limits": json.dumps(plan_limits)},
        )


@pytest.fixture
def user_id(engine: Engine) -> UUID:
    return add_user(engine)


@pytest.fixture
def user_on_plan(engine: Engine) -> Callable[..., UUID]:
    """Makes a user with ``plan`` and ``plan_limits``."""

    def make(plan: str | None = "free", plan_limits: Any = None) -> UUID:
        return add_user(engine, plan, plan_limits)

    return make


@pytest.fixture
def other_user_id(engine: Engine) -> UUID:
    return add_user(engine)


@pytest.fixture(scope="session")
def image_server() -> Iterator[ImageServer]:
    server = ImageServer()
    with server.running():
        yield server


@pytest.fixture(scope="session")
def process_redis_url(valkey_url: str) -> str:
    """The logical database of processes that live longer than one test."""
    server, _, number = valkey_url.rpartition("/")
    url = f"{server}/{PROCESS_DATABASES_FROM + int(number)}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def processes(request: pytest.FixtureRequest, database_url: str, redis_url: str, tmp_path: Path) -> Processes:
    """Starts workers and notifiers on this test's own database and Redis."""
    request.node.stash[LOGS] = [tmp_path]
    return Processes.for_servers(database_url, redis_url, tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes printed beside a failed test."""
    report = yield
    if report.failed:
        for folder in item.stash.get(LOGS, []):
            for log in sorted(folder.glob("*.log")):
                report.sections.append((f"output of {log.stem}", log.read_text(errors="replace")[-20_000:]))
    return report
