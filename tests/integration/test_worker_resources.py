"""A worker of many threads has a connection to Postgres for each of them, and keeps few."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import cast

import pytest
from sqlalchemy import Engine, QueuePool, text

from worker import resources as module
from worker.resources import LASTING_CONNECTIONS, expect_threads, worker_resources


@pytest.fixture
def _own_resources(monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setattr(module, "_made", None)
    monkeypatch.setattr(module, "_threads", 1)
    yield
    if module._made is not None:
        cast(Engine, module._made[1].database._bind).dispose()
        module._made[1].redis.close()


@pytest.mark.usefixtures("_own_resources")
def test_every_thread_gets_a_connection_while_all_others_have_one() -> None:
    threads = 40
    expect_threads(threads)
    database = worker_resources().database
    together = threading.Barrier(threads + 1)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            database.statement(lambda connection: (connection.execute(text("SELECT 1")), together.wait(30)))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)
            together.abort()

    # The lease keeper's is the one more.
    running = [threading.Thread(target=work) for _ in range(threads + 1)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert failures == []
    pool = cast(QueuePool, cast(Engine, database._bind).pool)
    assert pool.checkedin() == LASTING_CONNECTIONS
