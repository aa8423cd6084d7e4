"""Making ``menu_extraction_jobs`` of the old table ``ocr_jobs``: new names and new columns, no row is touched.

Every statement changes the catalogue alone, so the whole takes milliseconds whatever the table's size. What the rows
need, what needs a scan and what needs an index follows in later revisions, beside running programs.
"""

from __future__ import annotations

from jobqueue.errors import QueueUnavailableError
from migration_steps.database import query, quoted, run, scalar
from migration_steps.dependents import refuse_dependents
from migration_steps.old_limits import take_checks_for_limits
from migration_steps.undo_log import change, create_log

OLD, NEW = "ocr_jobs", "menu_extraction_jobs"
MAX_NAME_BYTES = 63

# Name, type, default, whether every row must have a value.
OLD_COLUMNS = [
    ("id", "uuid", "gen_random_uuid()", True),
    ("user_id", "uuid", None, True),
    ("image_url", "text", None, True),
    ("image_hash", "character varying(64)", None, False),
    ("status", "character varying(20)", "'queued'", True),
    ("result", "jsonb", None, False),
    ("error_message", "text", None, False),
    ("processing_time", "integer", None, False),
    ("retry_count", "integer", "0", True),
    ("created_at", "timestamp with time zone", "clock_timestamp()", True),
    ("completed_at", "timestamp with time zone", None, False),
]
# Name, type, the value that existing rows get, the default from then on. A volatile default would rewrite the table;
# now() is one value for all rows, which Postgres keeps in the catalogue.
NEW_COLUMNS = [
    ("schema_version", "varchar(20)", "'stage1'", "'stage1'"),
    ("prompt_version", "varchar(50)", "'v1.0'", "'v1.0'"),
    ("error_code", "varchar(50)", None, None),
    ("token_usage", "jsonb", None, None),
    ("confidence", "real", None, None),
    ("uncertain_items", "jsonb", None, None),
    ("superfluous_text", "jsonb", None, None),
    ("attempt", "smallint", "'0'", "'0'"),
    ("run_after", "timestamptz", "now()", "clock_timestamp()"),
    ("started_at", "timestamptz", None, None),
    ("lease_expires_at", "timestamptz", None, None),
    ("worker", "text", None, None),
    # 0: nothing was told of this row yet.
    ("event_seq", "integer", "0", "1"),
]
USER_KEY = "FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE"


def adopt_old_table(checks: dict[str, str]) -> None:
    """Rename the table and all that belongs to it, and give it the columns and ``checks`` of a fresh one."""
    create_log()
    run("SET LOCAL timezone = 'UTC'")  # a column of timestamps without zone becomes one with, and is not rewritten
    _refuse_another_kind_of_table()
    _drop_old_notification()
    refuse_dependents(OLD, _columns_of_another_type())
    change(f"ALTER TABLE {OLD} RENAME TO {NEW}", f"ALTER TABLE {NEW} RENAME TO {OLD}")
    take_checks_for_limits()
    _rename_what_belongs_to_it()
    for column in OLD_COLUMNS:
        _shape_old_column(*column)
    _add_columns()
    _add_user_key()
    for name, condition in checks.items():
        _add_check(f"{NEW}_{name}", f"CHECK ({condition})")


def grant_view_as_table() -> None:
    """Whoever may read or write the table may do so through the view of its old name."""
    grants = query(
        """
        SELECT DISTINCT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
               privilege_type, is_grantable
        FROM pg_class, aclexplode(relacl)
        WHERE pg_class.oid = to_regclass(:table) AND grantee <> relowner
              AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') ORDER BY 1, 2
        """,
        table=NEW,
    )
    for grantee, privilege, grantable in grants:
        run(f"GRANT {privilege} ON {OLD} TO {grantee}" + (" WITH GRANT OPTION" if grantable else ""))
    columns = query(
        """
        SELECT DISTINCT attname, CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
               privilege_type
        FROM pg_attribute, aclexplode(attacl)
        WHERE attrelid = to_regclass(:table) AND attname = ANY(:shown)
              AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE') ORDER BY 1, 2, 3
        """,
        table=NEW,
        shown=[name for name, *_ in OLD_COLUMNS],
    )
    for column, grantee, privilege in columns:
        run(f"GRANT {privilege} ({quoted(column)}) ON {OLD} TO {grantee}")


def _refuse_another_kind_of_table() -> None:
    types = dict(
        tuple(row)
        for row in query(
            """SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
               WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped""",
            table=OLD,
        )
    )
    missing = [name for name, *_ in OLD_COLUMNS if name not in types]
    if missing:
        raise QueueUnavailableError(f"The table ocr_jobs has no column {missing[0]}; add it and migrate again.")
    for name in ("id", "user_id"):
        if types[name] != "uuid":
            raise QueueUnavailableError(f"The column {name} of ocr_jobs is {types[name]}; it must be uuid to migrate.")


def _columns_of_another_type() -> list[str]:
    types = query(
        """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
           WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped""",
        table=OLD,
    )
    wanted = {name: wanted_type for name, wanted_type, *_ in OLD_COLUMNS}
    return [name for name, found in types if wanted.get(name, found) != found]


def _drop_old_notification() -> None:
    """The old triggers send payloads without a number on the old channel; the new ones take their place."""
    triggers = query(
        """SELECT tgname, pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
           WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal AND proname = 'notify_ocr_jobs' ORDER BY 1""",
        table=OLD,
    )
    functions = query(
        """SELECT oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc
           WHERE proname = 'notify_ocr_jobs' AND pronargs = 0
                 AND NOT EXISTS (SELECT FROM pg_trigger
                                 WHERE tgfoid = pg_proc.oid AND tgrelid <> to_regclass(:table))""",
        table=OLD,
    )
    # Undone in reverse: the function is back before its triggers.
    for name, definition in triggers:
        change(f"DROP TRIGGER {quoted(name)} ON {OLD}", definition)
    for signature, definition in functions:
        change(f"DROP FUNCTION {signature}", definition)


def _new_name(name: str) -> str:
    renamed = (
        name.replace(OLD, NEW).replace("OCR jobs", "menu extraction jobs").replace("OCR Jobs", "Menu Extraction Jobs")
    )
    return renamed.encode()[:MAX_NAME_BYTES].decode(errors="ignore")


_BELONGINGS = {
    # A constraint's rename takes its index along, so the constraints come first.
    "ALTER TABLE menu_extraction_jobs RENAME CONSTRAINT {old} TO {new}": """
        SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(:table) AND contype <> 't' ORDER BY 1""",
    "ALTER INDEX {old} RENAME TO {new}": """
        SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = to_regclass(:table) ORDER BY 1""",
    "ALTER TRIGGER {old} ON menu_extraction_jobs RENAME TO {new}": """
        SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal ORDER BY 1""",
    "ALTER POLICY {old} ON menu_extraction_jobs RENAME TO {new}": """
        SELECT polname FROM pg_policy WHERE polrelid = to_regclass(:table) ORDER BY 1""",
    "ALTER SEQUENCE {old} RENAME TO {new}": """
        SELECT relname FROM pg_depend JOIN pg_class ON pg_class.oid = objid
        WHERE refobjid = to_regclass(:table) AND classid = 'pg_class'::regclass AND relkind = 'S' ORDER BY 1""",
}


def _rename_what_belongs_to_it() -> None:
    for statement, names in _BELONGINGS.items():
        for (name,) in query(names, table=NEW):
            new = _new_name(name)
            if new != name:
                old_quoted, new_quoted = quoted(name), quoted(new)
                change(
                    statement.format(old=old_quoted, new=new_quoted), statement.format(old=new_quoted, new=old_quoted)
                )


def _shape_old_column(name: str, wanted_type: str, default: str | None, required: bool) -> None:
    (found,) = query(
        """SELECT format_type(atttypid, atttypmod) AS type, attnotnull, pg_get_expr(adbin, adrelid) AS expression
           FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
           WHERE attrelid = to_regclass(:table) AND attname = :name""",
        table=NEW,
        name=name,
    )
    alter = f"ALTER TABLE {NEW} ALTER COLUMN {name}"
    if found.type != wanted_type:
        # Without USING a value that the old type cannot hold is an error and not cut off.
        change(f"{alter} TYPE {wanted_type}", f"{alter} TYPE {found.type}")
    if default != found.expression:
        was = f"{alter} DROP DEFAULT" if found.expression is None else f"{alter} SET DEFAULT {found.expression}"
        change(f"{alter} DROP DEFAULT" if default is None else f"{alter} SET DEFAULT {default}", was)
    if found.attnotnull and not required:
        change(f"{alter} DROP NOT NULL", f"{alter} SET NOT NULL")
    elif required and not found.attnotnull:
        # Existing rows are looked at in a later revision, new ones from now on.
        _add_check(present_check(name), f"CHECK ({name} IS NOT NULL)")


def present_check(column: str) -> str:
    """The check that stands in for NOT NULL until every row has been looked at."""
    return f"{NEW}_{column}_present"


def _add_columns() -> None:
    added, defaults, dropped = [], [], []
    for name, column_type, value, default in NEW_COLUMNS:
        added.append(f"ADD COLUMN {name} {column_type}" + ("" if value is None else f" DEFAULT {value} NOT NULL"))
        dropped.append(f"DROP COLUMN {name}")
        if value != default:
            defaults.append(f"ALTER COLUMN {name} SET DEFAULT {default}")
    change(f"ALTER TABLE {NEW} {', '.join(added)}", f"ALTER TABLE {NEW} {', '.join(dropped)}")
    run(f"ALTER TABLE {NEW} {', '.join(defaults)}")


def _add_user_key() -> None:
    name = f"{NEW}_user_id_fkey"
    keys = query(
        """SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
           WHERE conrelid = to_regclass(:table) AND contype = 'f' AND confrelid = to_regclass('auth.users')
                 AND conkey = ARRAY(SELECT attnum FROM pg_attribute
                                    WHERE attrelid = to_regclass(:table) AND attname = 'user_id')""",
        table=NEW,
    )
    for key in keys:
        if key.definition == USER_KEY:
            _rename_constraint(key.conname, name)
            return
    for key in keys:
        change(
            f"ALTER TABLE {NEW} DROP CONSTRAINT {quoted(key.conname)}",
            f"ALTER TABLE {NEW} ADD CONSTRAINT {quoted(key.conname)} {key.definition}",
        )
    change(f"ALTER TABLE {NEW} ADD CONSTRAINT {name} {USER_KEY} NOT VALID", f"ALTER TABLE {NEW} DROP CONSTRAINT {name}")


def _add_check(name: str, definition: str) -> None:
    """Add the check for new rows alone, or give the old one that says the same its name."""
    drop = f"ALTER TABLE {NEW} DROP CONSTRAINT {name}"
    run("SAVEPOINT add_check")
    change(f"ALTER TABLE {NEW} ADD CONSTRAINT {name} {definition} NOT VALID", drop)
    same = scalar(
        """SELECT other.conname FROM pg_constraint AS added JOIN pg_constraint AS other USING (conrelid)
           WHERE added.conrelid = to_regclass(:table) AND added.conname = :name AND other.conname <> :name
                 AND other.convalidated
                 AND replace(pg_get_constraintdef(added.oid), ' NOT VALID', '') = pg_get_constraintdef(other.oid)""",
        table=NEW,
        name=name,
    )
    if same is None:
        run("RELEASE SAVEPOINT add_check")
        return
    run("ROLLBACK TO SAVEPOINT add_check")
    _rename_constraint(same, name)


def _rename_constraint(old: str, new: str) -> None:
    if old != new:
        statement = "ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}"
        change(
            statement.format(table=NEW, old=quoted(old), new=quoted(new)),
            statement.format(table=NEW, old=quoted(new), new=quoted(old)),
        )
