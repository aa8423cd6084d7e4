"""One PostgreSQL and one Valkey for a whole test run, however many pytest-xdist workers share it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from jobqueue.embedded import EmbeddedPostgres, EmbeddedValkey

LOGICAL_DATABASES = 64
POSTGRES_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}
URLS = pytest.StashKey[dict[str, str]]()
RUNNING = pytest.StashKey[ExitStack]()


def _urls(config: pytest.Config) -> dict[str, str]:
    """The run's servers, started by whoever asks first in the controller (or only) process."""
    if hasattr(config, "workerinput"):
        handed_over: dict[str, str] = config.workerinput["server_urls"]
        return handed_over
    if URLS not in config.stash:
        running = config.stash[RUNNING] = ExitStack()
        config.stash[URLS] = {
            "postgres": os.environ.get("JOBQUEUE_TEST_DATABASE_URL")
            or running.enter_context(EmbeddedPostgres(settings=POSTGRES_SETTINGS)).url,
            "valkey": os.environ.get("JOBQUEUE_TEST_REDIS_URL")
            or running.enter_context(EmbeddedValkey(settings={"databases": str(LOGICAL_DATABASES)})).url,
        }
    return config.stash[URLS]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["server_urls"] = _urls(node.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUNNING in config.stash:
        config.stash[RUNNING].close()


@pytest.fixture(scope="session", autouse=True)
def _environment_without_servers() -> Iterator[None]:
    """No test reaches the developer's own database by accident."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"):
            environment.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL URL whose user may create databases; JOBQUEUE_TEST_DATABASE_URL replaces the embedded server."""
    return _urls(request.config)["postgres"]


@pytest.fixture(scope="session")
def valkey_url(request: pytest.FixtureRequest) -> str:
    """A Redis URL with a logical database of this test worker's own; JOBQUEUE_TEST_REDIS_URL replaces the server."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    server = _urls(request.config)["valkey"]
    return f"{server.rstrip('/').removesuffix('/0')}/{worker}"
