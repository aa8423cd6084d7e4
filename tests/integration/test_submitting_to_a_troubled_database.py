"""A database that is away, cut off, not migrated, used up or out of step: each a typed error, or no error at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from jobqueue import JobQueueManager, QueueUnavailableError, Settings
from jobqueue.database import create_database_engine
from tests.integration.jobs import URL, count, queued
from tests.tcp_proxy import TcpProxy

HASH = "ab" * 32


def manager_at(url: str, settings: Settings) -> JobQueueManager:
    return JobQueueManager(create_database_engine(url), settings=settings)


def unavailable(manager: JobQueueManager, user_id: UUID) -> str:
    with pytest.raises(QueueUnavailableError) as caught:
        manager.submit_job(user_id, URL, HASH)
    message = caught.value.message
    assert "\n" not in message
    assert caught.value.__cause__ is None
    with pytest.raises(QueueUnavailableError):
        manager.get_job_status(uuid4())
    return message


def test_a_database_that_is_not_migrated_says_how_to_migrate_it(
    empty_database_url: str, settings: Settings, user_id: UUID
) -> None:
    assert "jobqueue migrate" in unavailable(manager_at(empty_database_url, settings), user_id)


def test_a_database_that_is_away_a_wrong_password_and_a_wrong_name_are_told_apart(
    database_url: str, settings: Settings, user_id: UUID
) -> None:
    server, _, _name = database_url.rpartition("/")
    user, _, host = server.rpartition("@")
    wrong_password = f"{user.rpartition(':')[0]}:wrong-secret@{host}/postgres"
    messages = {
        "away": unavailable(manager_at("postgresql://u:top-secret@127.0.0.1:1/d", settings), user_id),
        "password": unavailable(manager_at(wrong_password, settings), user_id),
        "name": unavailable(manager_at(f"{server}/no_such_database", settings), user_id),
        "host": unavailable(manager_at("postgresql://u:p@no-such-host.invalid/d", settings), user_id),
    }
    assert len(set(messages.values())) == 4
    assert "password" in messages["password"]
    assert "does not exist" in messages["name"]
    assert not any("secret" in message for message in messages.values())


def test_a_connection_that_was_cut_in_the_pool_is_not_noticed(
    engine: Engine, manager: JobQueueManager, user_id: UUID, database_url: str
) -> None:
    queued(manager, user_id)
    admin = create_database_engine(database_url, application_name="tests")
    with admin.connect() as connection:
        cut = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'menu-jobqueue'"
            )
        ).all()
    admin.dispose()
    assert cut == [(True,)]
    assert manager.submit_job(user_id, URL, HASH).job.status == "queued"
    assert count(engine) == 2


def test_a_database_that_comes_back_is_used_again(database_url: str, settings: Settings, user_id: UUID) -> None:
    server, _, name = database_url.rpartition("/")
    user, _, host = server.rpartition("@")
    proxy = TcpProxy(("127.0.0.1", int(host.partition(":")[2])))
    with proxy.running():
        engine = create_database_engine(f"{user}@127.0.0.1:{proxy.port}/{name}")
        manager = JobQueueManager(engine, settings=settings)
        queued(manager, user_id)
        proxy.refuse()
        with pytest.raises(QueueUnavailableError):
            queued(manager, user_id)
        proxy.allow()
        queued(manager, user_id)
        assert count(engine) == 2
        engine.dispose()


def test_a_pool_that_is_used_up_is_a_typed_error(database_url: str, settings: Settings, user_id: UUID) -> None:
    engine = create_database_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with engine.connect(), pytest.raises(QueueUnavailableError):
        JobQueueManager(engine, settings=settings).submit_job(user_id, URL, HASH)
    engine.dispose()


def test_a_database_user_without_rights_is_a_typed_error(database_url: str, settings: Settings, user_id: UUID) -> None:
    unprivileged = create_database_engine(f"{database_url}?options=-c%20role%3Dpg_monitor")
    with pytest.raises(QueueUnavailableError, match="lacks the rights"):
        JobQueueManager(unprivileged, settings=settings).submit_job(user_id, URL, HASH)
    unprivileged.dispose()


def test_submissions_that_wait_for_each_other_end_with_an_error_that_says_so(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    def submit_and_roll_back(session: Session, user: UUID) -> str | None:
        try:
            queued(manager, user, session=session)
        except QueueUnavailableError as error:
            return error.message
        finally:
            session.rollback()
        return None

    with Session(engine) as one, Session(engine) as two, ThreadPoolExecutor(2) as threads:
        queued(manager, user_id, session=one)
        queued(manager, other_user_id, session=two)
        outcomes = threads.map(submit_and_roll_back, (one, two), (other_user_id, user_id))
        told = [message for message in outcomes if message is not None]
    assert len(told) == 1
    assert "begin the transaction again" in told[0]
