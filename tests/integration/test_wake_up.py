"""The notifier's own connection to Postgres."""

from __future__ import annotations

import os
import time
from contextlib import closing

import psycopg2
import pytest
from sqlalchemy import Engine, func, make_url, select, text

from jobqueue.database import create_database_engine
from jobqueue.migration import migrate
from tests.eventually import eventually
from tests.tcp_proxy import TcpProxy
from tests.transaction_pooler import TransactionPooler
from worker.notifier import wake_up as wake_up_module
from worker.notifier.wake_up import Notify, SessionLostError, WakeUpConnection
from worker.postgres_deadline import limit_waits


def notifying(engine: Engine) -> Notify:
    """Another session than the one that listens."""

    def notify(channel: str, payload: str) -> None:
        with engine.begin() as connection:
            connection.execute(select(func.pg_notify(channel, payload)))

    return notify


@pytest.mark.parametrize("mode", ["every_change", "wake_up"])
def test_the_mode_is_the_databases(database_url: str, engine: Engine, mode: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_settings SET value = :mode"), {"mode": mode})
    with closing(WakeUpConnection(database_url, notifying(engine))) as wake_up:
        assert wake_up.notify_mode() == mode


def test_without_the_setting_every_change_notifies(empty_database_url: str) -> None:
    engine = create_database_engine(empty_database_url)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM menu_extraction_settings"))
    with closing(WakeUpConnection(empty_database_url, notifying(engine))) as wake_up:
        assert wake_up.notify_mode() == "every_change"
    engine.dispose()


def address(database_url: str) -> tuple[str, int]:
    url = make_url(database_url)
    assert url.host is not None
    return url.host, url.port or 5432


def through(database_url: str, port: int) -> str:
    return make_url(database_url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)


@pytest.mark.parametrize("size", [1, 2, None], ids=lambda size: f"{size or 'any_number_of'}_connections")
def test_a_pooler_in_transaction_mode_is_refused_however_many_connections_it_has(
    database_url: str, engine: Engine, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_up_module, "PROBE_WITHIN_SECONDS", 0.5)
    pooler = TransactionPooler(address(database_url), size)
    with pooler.running():
        for _ in range(3):
            with pytest.raises(SessionLostError, match="JOBQUEUE_NOTIFIER_DATABASE_URL"):
                WakeUpConnection(through(database_url, pooler.port), notifying(engine))


@pytest.fixture
def _limited_waits() -> object:
    limit_waits()
    yield
    psycopg2.extensions.set_wait_callback(None)


@pytest.mark.usefixtures("_limited_waits")
def test_a_connection_that_is_silently_dead_is_noticed_within_seconds(database_url: str, engine: Engine) -> None:
    interrupt, never = os.pipe()
    proxy = TcpProxy(address(database_url))
    with proxy.running(), closing(WakeUpConnection(through(database_url, proxy.port), notifying(engine))) as wake_up:
        wake_up.wait(0.01, interrupt)
        proxy.freeze()
        began = time.monotonic()

        def wait_for_ever() -> None:
            while True:
                wake_up.wait(0.5, interrupt)

        with pytest.raises(psycopg2.OperationalError, match="did not answer within 2 seconds"):
            wait_for_ever()
        assert time.monotonic() - began < 6
        with pytest.raises(psycopg2.OperationalError, match="did not answer"):
            WakeUpConnection(through(database_url, proxy.port), notifying(engine))
    os.close(interrupt)
    os.close(never)


@pytest.mark.usefixtures("_limited_waits")
def test_a_limited_connection_works_like_any_other(database_url: str, engine: Engine) -> None:
    with closing(WakeUpConnection(database_url, notifying(engine))) as wake_up:
        interrupt, never = os.pipe()
        assert wake_up.try_announce_sleep()
        notifying(engine)("menu_extraction_jobs_wake_up", "")
        began = time.monotonic()
        wake_up.wait(10, interrupt)
        assert time.monotonic() - began < 5
        wake_up.end_sleep()
        os.write(never, b"x")
        wake_up.wait(10, interrupt)
        assert time.monotonic() - began < 5
    os.close(interrupt)
    os.close(never)


def test_a_sleeper_that_says_nothing_any_more_loses_its_session_and_with_it_the_lock(
    database_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_up_module, "SESSION_ENDS_AFTER_SECONDS", 1)
    stopped = WakeUpConnection(database_url, notifying(engine))
    assert stopped.try_announce_sleep()
    with closing(WakeUpConnection(database_url, notifying(engine))) as successor:
        assert not successor.try_announce_sleep()
        eventually(successor.try_announce_sleep, within=10, what="the lock being free")
    stopped.close()
