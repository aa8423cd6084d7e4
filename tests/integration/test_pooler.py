"""Everything holds through a transaction-mode connection pooler: no state is kept in a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Engine, make_url, text

from jobqueue import JobQueueError, JobQueueManager, Settings
from jobqueue.database import create_database_engine
from tests.integration.jobs import URL, claimed, complete, count, current, fail, queued, some_hash
from tests.transaction_pooler import TransactionPooler

MakeUser = Callable[..., UUID]
SERVER_CONNECTIONS = 4


@pytest.fixture
def pooler(database_url: str) -> Iterator[TransactionPooler]:
    url = make_url(database_url)
    assert url.host is not None
    made = TransactionPooler((url.host, url.port or 5432))
    with made.running():
        yield made


@pytest.fixture
def pooled(database_url: str, pooler: TransactionPooler) -> Iterator[Engine]:
    url = make_url(database_url).set(host="127.0.0.1", port=pooler.port).render_as_string(hide_password=False)
    engine = create_database_engine(url, pool_size=16)
    held = [engine.connect() for _ in range(SERVER_CONNECTIONS)]
    for connection in held:
        connection.close()
    yield engine
    engine.dispose()


@pytest.fixture
def manager(pooled: Engine, settings: Settings) -> Iterator[JobQueueManager]:
    made = JobQueueManager(pooled, settings=settings)
    yield made
    made.close()


def test_the_pooler_really_changes_the_connection_with_every_transaction(pooled: Engine) -> None:
    with pooled.connect() as connection:
        backends = set()
        for _ in range(SERVER_CONNECTIONS):
            backends.add(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() in backends
            connection.commit()
    assert len(backends) == SERVER_CONNECTIONS


def test_a_whole_life_of_jobs(manager: JobQueueManager, pooled: Engine, user_id: UUID) -> None:
    picture = some_hash()
    job = queued(manager, user_id, image_hash=picture)
    assert fail(pooled, job.id, claimed(pooled, job.id).attempt)
    again = manager.retry_job(job.id, user_id)
    assert complete(pooled, again.id, claimed(pooled, again.id).attempt)
    assert manager.submit_job(user_id, URL, picture).cached
    assert manager.cancel_job(queued(manager, user_id).id, user_id).error_code == "CANCELLED"
    assert manager.check_quota(user_id).current == 2
    assert manager.check_rate_limit(user_id).current == 3
    assert [entry.status for entry in manager.job_history(again.id)] == ["queued", "processing", "completed"]


def test_exactly_the_allowed_number_gets_in(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser, pooler: TransactionPooler
) -> None:
    user = user_on_plan("free", {"ocr_jobs": 3, "hourly_uploads": -1})

    def submit(_number: int) -> str:
        try:
            return manager.submit_job(user, URL, some_hash()).job.status.value
        except JobQueueError as error:
            return error.code

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(submit, range(64)))
    assert (answers.count("queued"), answers.count("QUOTA_EXCEEDED")) == (3, 61)
    assert count(engine) == 3
    assert len(pooler.transactions_on) > 1


def test_the_same_picture_is_one_job(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    picture = some_hash()
    with ThreadPoolExecutor(16) as threads:
        ids = set(threads.map(lambda _number: manager.submit_job(user_id, URL, picture).job.id, range(64)))
    assert len(ids) == count(engine) == 1
    assert current(manager, ids.pop()).status == "queued"


def test_no_call_leaves_anything_in_the_servers_session(
    manager: JobQueueManager, pooled: Engine, engine: Engine, user_id: UUID
) -> None:
    session_state = text("""
        SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
               (SELECT count(*) FROM pg_prepared_statements),
               (SELECT count(*) FROM pg_cursors WHERE is_holdable),
               (SELECT count(*) FROM pg_listening_channels()),
               (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
               (SELECT count(*) FROM pg_settings WHERE source = 'session' AND name NOT LIKE 'transaction%')
    """)
    test_a_whole_life_of_jobs(manager, pooled, user_id)
    with pooled.connect() as connection:
        for _ in range(SERVER_CONNECTIONS):
            assert tuple(connection.execute(session_state).one()) == (0, 0, 0, 0, 0, 0)
            connection.commit()
