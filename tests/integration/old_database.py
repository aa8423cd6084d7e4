"""A database as the system before this one left it, its rows, and asking it as old programs do."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

import json
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg2
from sqlalchemy import Connection, Engine, text

ALICE, BOB = UUID(int=1), UUID(int=2)
URL = "https://pictures.example/menu.png"
# What only a database with a past has: the way back, and an index that old queries may rely on.
OF_THE_UPGRADE = (
    "menu_extraction_corrected_jobs",
    "menu_extraction_replaced_indexes",
    "menu_extraction_upgrade_undo",
    "idx_menu_extraction_jobs_status",
)

OLD_ROWS = f"""
    INSERT INTO auth.users VALUES ('{ALICE}', 'alice@example.com'), ('{BOB}', 'bob@example.com');
    INSERT INTO ocr_jobs (user_id, image_url, image_hash, status, result, error_message, processing_time, retry_count,
                          created_at, completed_at) VALUES
        ('{ALICE}', '{URL}?1', repeat('1', 64), 'queued', NULL, NULL, NULL, 0, '2026-01-01Z', NULL),
        ('{ALICE}', '{URL}?2', repeat('2', 64), 'processing', NULL, NULL, NULL, 0, '2026-01-02Z', NULL),
        ('{ALICE}', '{URL}?3', repeat('3', 64), 'completed', '{{"items": []}}', NULL, 900, 1, '2026-01-03Z', '2026-01-03 00:01Z'),
        ('{BOB}', '{URL}?4', repeat('4', 64), 'failed', NULL, 'No text.', 70, 3, '2026-01-04Z', '2026-01-04 00:01Z'),
        -- What the new rules do not allow:
        ('{BOB}', '{URL}?5', repeat('5', 64), 'completed', '{{"items": []}}', NULL, 2000, NULL, '2026-01-05Z', NULL),
        ('{BOB}', '{URL}?6', repeat('6', 64), 'completed', NULL, NULL, -1, -2, '2026-01-06Z', '2026-01-06 00:01Z'),
        ('{BOB}', '{URL}?7', repeat('7', 64), NULL, NULL, NULL, NULL, 0, NULL, NULL),
        ('{BOB}', '{URL}?8', repeat('8', 64), 'queued', NULL, NULL, NULL, 0, '2026-01-08Z', '2026-01-08 00:01Z');
"""  # noqa: E501 - one line a row
ROWS = "SELECT to_jsonb(ocr_jobs) FROM ocr_jobs ORDER BY image_url"


def script(engine: Engine, statements: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statements.replace("%", "%%"))


def rows(engine: Engine, query: str, **values: Any) -> list[Any]:
    with engine.begin() as connection:
        return [row[0] if len(row) == 1 else tuple(row) for row in connection.execute(text(query), values)]


def jobs(engine: Engine) -> dict[str, Any]:
    """The rows of the new table by the number at the end of their address."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM menu_extraction_jobs")).all()
    return {row.image_url.partition("?")[2]: row for row in found}


def without_past(schema: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {part: [row for row in found if not row[0].startswith(OF_THE_UPGRADE)] for part, found in schema.items()}


@contextmanager
def as_role(engine: Engine, role: str, user: UUID | None) -> Iterator[Connection]:
    """What a request of this user does, as Supabase's API does it; nothing is kept unless the caller commits."""
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('request.jwt.claim.sub', :user, true)"), {"user": str(user or "")})
        connection.execute(text(f"SET LOCAL ROLE {role}"))
        yield connection


@contextmanager
def listening(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as listener:
        listener.execute(text("LISTEN menu_extraction_jobs"))
        listener.commit()
        yield listener


def heard(listener: Connection, count: int = 1) -> list[dict[str, Any]]:
    """The payloads of ``count`` notifications."""
    driver: Any = listener.connection.dbapi_connection
    assert isinstance(driver, psycopg2.extensions.connection)
    driver.poll()
    while len(driver.notifies) < count:
        assert select.select([driver], [], [], 10)[0], "no notification came"
        driver.poll()
    return [json.loads(one.payload) for one in driver.notifies]
