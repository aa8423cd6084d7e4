"""No process of the system waits for ever on a Postgres that is silently gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from sqlalchemy import Engine, make_url, text

from jobqueue.database import create_database_engine
from jobqueue.errors import QueueUnavailableError
from tests.tcp_proxy import TcpProxy
from worker import consumer, resources
from worker.postgres_deadline import DeadlineConnection, limit_waits


@pytest.fixture(autouse=True)
def _waits_as_before() -> Iterator[None]:
    yield
    psycopg2.extensions.set_wait_callback(None)


@pytest.fixture
def proxy(database_url: str) -> Iterator[TcpProxy]:
    url = make_url(database_url)
    assert url.host is not None
    made = TcpProxy((url.host, url.port or 5432))
    with made.running():
        yield made


@pytest.fixture
def proxied_url(database_url: str, proxy: TcpProxy) -> str:
    return make_url(database_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)


def test_only_our_connections_of_a_process_have_a_limit(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeadlineConnection, "answer_within", 0.2)
    limit_waits()
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.5)")
    ours = psycopg2.connect(database_url, connection_factory=DeadlineConnection)
    with ours.cursor() as cursor, pytest.raises(psycopg2.OperationalError, match=r"within 0\.2 seconds"):
        cursor.execute("SELECT pg_sleep(5)")
    assert ours.closed


def test_a_worker_does_not_wait_for_a_half_open_postgres_and_goes_on_afterwards(
    proxy: TcpProxy, proxied_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", proxied_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("JOBQUEUE_EXTRACTOR", "tests.scripted_extractor:ScriptedExtractor")
    monkeypatch.setattr(resources, "_made", None)
    database = resources.worker_resources().database
    assert database.statement(lambda c: c.execute(text("SELECT 1")).scalar_one()) == 1
    monkeypatch.setattr(DeadlineConnection, "answer_within", 0.3)
    proxy.freeze()
    began = time.monotonic()
    with pytest.raises(QueueUnavailableError):
        database.statement(lambda c: c.execute(text("SELECT 1")).scalar_one())
    assert time.monotonic() - began < 5
    monkeypatch.undo()
    proxy.allow()
    assert database.statement(lambda c: c.execute(text("SELECT 1")).scalar_one()) == 1


def test_packets_that_nobody_acknowledges_end_a_connection(database_url: str) -> None:
    engine: Engine = create_database_engine(database_url)
    with engine.connect() as connection:
        parameters = connection.connection.dbapi_connection.info.dsn_parameters  # type: ignore[union-attr]
    engine.dispose()
    assert (parameters["tcp_user_timeout"], parameters["keepalives_idle"]) == ("15000", "10")


def test_what_holds_up_putting_back_is_said_in_time(
    proxy: TcpProxy, proxied_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DATABASE_URL", proxied_url)
    monkeypatch.setattr(DeadlineConnection, "answer_within", 0.3)
    proxy.freeze()
    began = time.monotonic()
    consumer._put_back(["celery@a/1"])
    assert time.monotonic() - began < consumer.GIVING_UP_AFTER_SECONDS
    assert "Jobs could not be put back (Postgres could not be reached" in caplog.text
