"""Building indexes while the table is in use. To be called outside a transaction."""

from __future__ import annotations

import logging

from sqlalchemy.exc import IntegrityError

from migration_steps.database import offline, query, quoted, run, scalar
from migration_steps.undo_log import was_upgraded

log = logging.getLogger("alembic.runtime.migration")

JOBS = "menu_extraction_jobs"
# Definitions of the old table's indexes that others took the place of.
REPLACED = "menu_extraction_replaced_indexes"


def build_index(name: str, definition: str, *, unique: bool = False) -> None:
    """Build the index, in place of one of the same name and another definition if there is one.

    ``definition`` is what follows the table's name. An index that an earlier try left unfinished is built anew.
    """
    making = f"{name}_new"
    _drop(making)
    concurrently = "" if offline() else "CONCURRENTLY "
    kind = "CREATE UNIQUE INDEX" if unique else "CREATE INDEX"
    run(f"{kind} {concurrently}{quoted(making)} ON {JOBS} {definition}")
    existing = _definition(name)
    if existing is not None:
        if _same_index(existing, _definition(making)):
            _drop(making)
            return
        if was_upgraded():
            _remember(name, existing)
        _drop(name)
    run(f"ALTER INDEX {quoted(making)} RENAME TO {quoted(name)}")


def _remember(name: str, definition: str) -> None:
    run(f"""
        CREATE TABLE IF NOT EXISTS {REPLACED} (
            name text PRIMARY KEY, definition text NOT NULL, is_unique boolean NOT NULL
        )
    """)
    query(
        f"INSERT INTO {REPLACED} VALUES (:name, :definition, :is_unique) ON CONFLICT DO NOTHING",
        name=name,
        definition=definition.split(f"{JOBS} ", 1)[1],
        is_unique=definition.startswith("CREATE UNIQUE "),
    )


def remove_index(name: str) -> None:
    """Drop the index, or put back the one that it took the place of."""
    before = None
    if scalar("SELECT to_regclass(:table)", table=REPLACED) is not None:
        before = scalar(f"SELECT to_jsonb(kept) FROM {REPLACED} AS kept WHERE name = :name", name=name)
    if before is None:
        _drop(name)
    else:
        # Upgrades of earlier versions did not note whether the index was unique.
        _put_back(name, before["definition"], unique=before.get("is_unique", False))


def _put_back(name: str, definition: str, *, unique: bool) -> None:
    making = f"{name}_old"
    _drop(making)
    if not (unique and _created(making, definition, "UNIQUE INDEX")):
        _drop(making)
        _created(making, definition, "INDEX")
    _drop(name)
    run(f"ALTER INDEX {quoted(making)} RENAME TO {quoted(name)}")


def _created(name: str, definition: str, kind: str) -> bool:
    try:
        run(f"CREATE {kind} CONCURRENTLY {quoted(name)} ON {JOBS} {definition}")
    except IntegrityError:
        log.warning("The index %s is not unique any more, because rows made since the upgrade are alike.", name)
        return False
    return True


def _drop(name: str) -> None:
    if not offline():
        run(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(name)}")


def _definition(name: str) -> str | None:
    found: str | None = scalar(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid",
        name=name,
    )
    return found


def _same_index(one: str, other: str | None) -> bool:
    if other is None:
        return False
    (kind, what), (other_kind, other_what) = (text.split(" ON ", 1) for text in (one, other))
    return what == other_what and kind.startswith("CREATE UNIQUE ") == other_kind.startswith("CREATE UNIQUE ")


def forget_replaced() -> None:
    run(f"DROP TABLE IF EXISTS {REPLACED}")
