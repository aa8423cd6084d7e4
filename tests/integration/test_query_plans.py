"""The plans of what runs often on tables of millions: an index leads to the rows, however many others there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, event, text

from jobqueue.store.event_log import events_after
from jobqueue.store.pruning import Position, age, database_time, prune_batch
from tests.conftest import add_user
from tests.integration.pruned import later, publish_all
from tests.listener_sides import many_jobs

# To these tables what a full batch is to one of a million rows: of a few thousand it might well read all.
SMALL_BATCH = 5
Plans = Callable[[Callable[[Connection], Any]], list[str]]


@pytest.fixture
def plans(engine: Engine) -> Plans:
    """The nodes of the plans of all statements that some work executes."""

    def of(work: Callable[[Connection], Any]) -> list[str]:
        statements: list[tuple[str, Any]] = []

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
            statements.append((statement, parameters))

        with engine.connect() as connection:
            event.listen(connection, "before_cursor_execute", note)
            work(connection)
            event.remove(connection, "before_cursor_execute", note)
            connection.rollback()
            nodes: list[str] = []
            for statement, parameters in statements:
                if not statement.lstrip().startswith("SET"):
                    (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
                    nodes += list(_nodes(plan["Plan"]))
        return nodes

    return of


def _nodes(plan: dict[str, Any]) -> Iterator[str]:
    yield f"{plan['Node Type']} on {plan.get('Relation Name', '-')} by {plan.get('Index Name', '-')}"
    for part in plan.get("Plans", []):
        yield from _nodes(part)


@pytest.fixture
def user_among_many(engine: Engine) -> UUID:
    """5,000 finished jobs of others, retries among them, and 100 of one user, all published."""
    crowd = [add_user(engine) for _ in range(10)]
    user = add_user(engine)
    for owner in crowd:
        many_jobs(engine, owner, 500)
    many_jobs(engine, user, 100)
    publish_all(engine)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(
            text("""
            UPDATE menu_extraction_jobs SET status = 'failed', completed_at = created_at + interval '1 minute',
                                            created_at = created_at - random() * interval '1000 days'
        """)
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE menu_extraction_jobs, menu_extraction_job_events")
    return user


def reads_whole_tables(nodes: list[str]) -> list[str]:
    large = ("menu_extraction_jobs", "menu_extraction_job_events")
    return [node for node in nodes if node.startswith("Seq Scan") and any(f" on {table} " in node for table in large)]


@pytest.mark.parametrize("cursor", [0, 5_050])
def test_a_users_events_behind_a_cursor_are_found_by_their_index(
    plans: Plans, user_among_many: UUID, cursor: int
) -> None:
    nodes = plans(lambda connection: events_after(connection, user_among_many, cursor, 500))
    assert reads_whole_tables(nodes) == []
    assert any("by idx_menu_extraction_job_events_user_cursor" in node for node in nodes)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_pruning_a_batch_reads_no_table_whole(
    plans: Plans, engine: Engine, user_among_many: UUID, dry_run: bool, behind: bool
) -> None:
    def prune(connection: Connection) -> None:
        old = age(later(), later())
        after = Position(database_time(connection), user_among_many) if behind else None
        prune_batch(connection, old, after, SMALL_BATCH, dry_run=dry_run)

    nodes = plans(prune)
    assert reads_whole_tables(nodes) == []
    assert any("by idx_menu_extraction_jobs_finished" in node for node in nodes)
