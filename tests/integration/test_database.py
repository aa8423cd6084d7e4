"""Connections that break at the worst moment: between the work and their way back into the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import sessionmaker

from jobqueue import JobQueueManager
from jobqueue.database import Database, create_database_engine
from jobqueue.errors import QueueUnavailableError
from tests.integration.jobs import count
from tests.tcp_proxy import TcpProxy

INSERT = text("INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES (:user, 'x')")


@pytest.fixture
def proxy(database_url: str) -> Iterator[TcpProxy]:
    made = TcpProxy(("127.0.0.1", int(database_url.rpartition(":")[2].partition("/")[0])))
    with made.running():
        yield made


@pytest.fixture
def narrow_engine(proxy: TcpProxy, database_url: str) -> Iterator[Engine]:
    """One connection and no more, so that a place lost in the pool is noticed at once."""
    head, _, tail = database_url.rpartition(":")
    url = f"{head}:{proxy.port}/{tail.partition('/')[2]}"
    made = create_database_engine(url, pool_size=1, max_overflow=0, pool_timeout=1)
    yield made
    made.dispose()


Run = Callable[[Database, Callable[[Connection], int]], int]


@pytest.mark.parametrize("run", [Database.run, Database.statement], ids=["in a transaction", "as a statement"])
def test_a_connection_that_breaks_after_the_work_costs_neither_the_answer_nor_a_place_in_the_pool(
    narrow_engine: Engine, proxy: TcpProxy, engine: Engine, user_id: UUID, run: Run
) -> None:
    database = Database(narrow_engine)

    def warm_up() -> None:
        # What the driver sends on the way back depends on what the connection was used for before.
        for use in (Database.run, Database.statement, Database.statement):
            use(database, lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    def break_afterwards(connection: Connection) -> int:
        inserted = connection.execute(INSERT, {"user": user_id}).rowcount
        if run is Database.run:
            connection.commit()
        proxy.cut()
        return inserted

    for number in range(1, 4):
        warm_up()
        try:
            assert run(database, break_afterwards) == 1
        except QueueUnavailableError:
            assert run is Database.run  # its own commit could not be sent any more
        assert count(engine) == number
    assert run(database, lambda connection: connection.execute(text("SELECT 7")).scalar_one()) == 7


def test_a_session_factorys_broken_connection_is_a_typed_error_too(
    narrow_engine: Engine, proxy: TcpProxy, user_id: UUID
) -> None:
    database = Database(sessionmaker(narrow_engine))

    def break_afterwards(connection: Connection) -> int:
        inserted = connection.execute(INSERT, {"user": user_id}).rowcount
        proxy.cut()
        return inserted

    with pytest.raises(QueueUnavailableError):
        database.run(break_afterwards)
    assert database.run(lambda connection: connection.execute(text("SELECT 7")).scalar_one()) == 7


@pytest.mark.parametrize(
    ("setting", "words"), [("statement_timeout", "statement timeout"), ("lock_timeout", "long transaction")]
)
def test_a_call_that_waits_too_long_for_another_names_the_cause(
    engine: Engine, database_url: str, user_id: UUID, setting: str, words: str
) -> None:
    impatient = create_database_engine(f"{database_url}?options=-c%20{setting}%3D100ms")
    manager = JobQueueManager(impatient)
    with engine.begin() as other:
        other.execute(text("SELECT FROM auth.users WHERE id = :user FOR UPDATE"), {"user": user_id})
        with pytest.raises(QueueUnavailableError, match=words):
            manager.submit_job(user_id, "https://example.com/menu.png", "a" * 64)
    assert count(engine) == 0
    manager.submit_job(user_id, "https://example.com/menu.png", "a" * 64)
    impatient.dispose()
