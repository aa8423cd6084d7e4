"""Asking the database and telling it, in plain SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

FROZEN_SQL = Path(__file__).parent.parent / "sql"


def offline() -> bool:
    """Whether statements are only printed, for an empty database."""
    return bool(op.get_context().as_sql)


def query(statement: str, **values: Any) -> list[Any]:
    """The rows that the statement returns, if it returns any."""
    if offline():
        return []
    result = op.get_bind().execute(sa.text(statement), values)
    return list(result) if result.returns_rows else []


def scalar(statement: str, **values: Any) -> Any:
    rows = query(statement, **values)
    return rows[0][0] if rows else None


def run(statement: str) -> None:
    if offline():
        op.get_context().impl.static_output(f"{statement.strip().rstrip(';')};\n")
        return
    # Escaped because the driver takes a bare % for a placeholder and SQLAlchemy a :name for a bound value.
    op.get_bind().exec_driver_sql(statement.replace("%", "%%"))


def run_file(revision: str, name: str) -> None:
    run((FROZEN_SQL / revision / name).read_text())


def exists(relation: str) -> bool:
    return scalar("SELECT to_regclass(:name)", name=relation) is not None


def is_table(relation: str) -> bool:
    return scalar("SELECT relkind FROM pg_class WHERE oid = to_regclass(:name)", name=relation) in ("r", "p")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def sql_text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
