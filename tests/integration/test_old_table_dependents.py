"""What an installation has built on the old table: kept through the upgrade and back, or named in a refusal."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from jobqueue.errors import QueueUnavailableError
from jobqueue.migration import migrate
from tests.integration.old_database import BOB, URL, rows, script
from tests.integration.test_migrations import catalogue, downgrade
from tests.old_table import OLD_DATABASE

DEPENDENTS = [
    ("CREATE VIEW addresses AS SELECT image_url FROM {}", "view addresses", "VIEW addresses"),
    ("CREATE MATERIALIZED VIEW kept AS SELECT image_url FROM {}", "materialized view kept", "MATERIALIZED VIEW kept"),
    ("CREATE POLICY short ON {} USING (length(image_url) < 9)", "policy short", "POLICY short ON {}"),
    (
        "CREATE RULE quiet AS ON UPDATE TO {} WHERE NEW.image_url = 'x' DO INSTEAD NOTHING",
        "rule quiet",
        "RULE quiet ON {}",
    ),
    (
        "CREATE FUNCTION addresses() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(image_url) FROM {}; END",
        "function addresses()",
        "FUNCTION addresses()",
    ),
    (
        "ALTER TABLE {} ADD COLUMN size integer GENERATED ALWAYS AS (length(image_url)) STORED",
        "column size",
        "COLUMN size",
    ),
]


@pytest.mark.parametrize(("make", "named", "drop"), DEPENDENTS, ids=[named for _, named, _ in DEPENDENTS])
def test_what_stops_the_upgrade_is_named_and_nothing_is_changed(old: Engine, make: str, named: str, drop: str) -> None:
    script(old, make.format("ocr_jobs"))
    before = catalogue(old)
    with pytest.raises(QueueUnavailableError, match=r"ocr_jobs is used by .*drop the object, migrate again") as refusal:
        migrate(old)
    assert named in refusal.value.message
    assert "image_url" in refusal.value.message
    assert catalogue(old) == before
    how = f"DROP {drop}" if "COLUMN" not in drop else f"ALTER TABLE ocr_jobs DROP {drop}"
    script(old, how.format("ocr_jobs"))
    migrate(old)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        ("CREATE VIEW sure AS SELECT confidence FROM menu_extraction_jobs", "view sure (on confidence)"),
        ("CREATE VIEW sure AS SELECT image_url FROM menu_extraction_jobs", "view sure (on image_url)"),
        ("CREATE VIEW sure AS SELECT retry_of FROM menu_extraction_jobs", "view sure (on retry_of)"),
        ("CREATE VIEW sure AS SELECT id FROM ocr_jobs", "view sure"),
        ("CREATE VIEW sure AS SELECT seq FROM menu_extraction_job_events", "view sure"),
    ],
)
def test_what_stops_the_way_back_is_named(upgraded: Engine, make: str, named: str) -> None:
    script(upgraded, make)
    with pytest.raises(QueueUnavailableError) as refusal:
        downgrade(upgraded)
    assert named in refusal.value.message
    script(upgraded, "DROP VIEW sure")
    downgrade(upgraded)
    assert rows(upgraded, "SELECT count(*) FROM ocr_jobs") == [8]


def test_a_view_of_other_columns_goes_along(old: Engine) -> None:
    script(old, "CREATE VIEW states AS SELECT id, status FROM ocr_jobs")
    migrate(old)
    assert rows(old, "SELECT count(*) FROM states") == [8]
    downgrade(old)
    assert rows(old, "SELECT count(*) FROM states") == [8]


# Unique indexes under a name that the new table gives to another one, and all that has no name to be taken.
EXTRAS = """
    DROP INDEX idx_ocr_jobs_image_hash;
    CREATE UNIQUE INDEX idx_ocr_jobs_image_hash ON ocr_jobs (image_hash, created_at);
    CREATE UNIQUE INDEX idx_ocr_jobs_queued ON ocr_jobs (lower(image_hash)) WHERE status = 'queued';
    CREATE INDEX by_size ON ocr_jobs ((length(image_url))) WITH (fillfactor = 70);
    ALTER TABLE ocr_jobs ADD COLUMN note text DEFAULT 'none', ADD COLUMN number bigserial,
        ADD CONSTRAINT ocr_jobs_note_short CHECK (length(note) < 9), ADD CONSTRAINT ocr_jobs_number UNIQUE (number);
    COMMENT ON TABLE ocr_jobs IS 'pictures of menus';
    COMMENT ON COLUMN ocr_jobs.image_url IS 'where it lies';
    COMMENT ON INDEX by_size IS 'for the report';
    CREATE ROLE {owner}; CREATE ROLE {reader};
    GRANT ALL ON SCHEMA public TO {owner};
    GRANT SELECT, INSERT ON ocr_jobs TO {reader}; GRANT UPDATE (note) ON ocr_jobs TO {reader};
    GRANT USAGE ON SEQUENCE ocr_jobs_number_seq TO {reader};
    ALTER TABLE ocr_jobs OWNER TO {owner};
"""
DETAILS = """
    SELECT relname, relkind::text, pg_get_userbyid(relowner), relacl::text, reloptions::text,
           obj_description(oid, 'pg_class'),
           (SELECT array_agg((attname, attacl, col_description(attrelid, attnum))::text ORDER BY attnum)
            FROM pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%'
    ORDER BY 1
"""


def test_extras_of_the_old_table_survive_there_and_back_and_there(bare: Engine) -> None:
    owner, reader = (f"{name}_{bare.url.database}" for name in ("owner", "reader"))
    script(bare, OLD_DATABASE + EXTRAS.format(owner=owner, reader=reader))

    def everything() -> tuple[Any, ...]:
        return catalogue(bare), rows(bare, DETAILS)

    before = everything()
    migrate(bare)
    upgraded = everything()
    downgrade(bare)
    assert everything() == before
    migrate(bare)
    assert everything() == upgraded
    downgrade(bare)
    assert everything() == before
    script(bare, f"DROP TABLE ocr_jobs; DROP OWNED BY {owner}, {reader}; DROP ROLE {owner}; DROP ROLE {reader}")


def test_an_old_unique_index_that_new_rows_do_not_keep_comes_back_as_a_plain_one(bare: Engine) -> None:
    index = "CREATE UNIQUE INDEX idx_ocr_jobs_image_hash ON ocr_jobs (image_hash);"
    script(bare, OLD_DATABASE + "DROP INDEX idx_ocr_jobs_image_hash;" + index)
    migrate(bare)
    script(bare, f"INSERT INTO auth.users VALUES ('{BOB}')")
    for _ in range(2):
        script(bare, f"INSERT INTO ocr_jobs (user_id, image_url, image_hash) VALUES ('{BOB}', '{URL}', 'same')")
    downgrade(bare)
    with bare.connect() as connection:
        found = connection.execute(
            text("SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_ocr_jobs_image_hash'")
        ).scalar_one()
    assert found == "CREATE INDEX idx_ocr_jobs_image_hash ON public.ocr_jobs USING btree (image_hash)"
    assert rows(bare, "SELECT count(*) FROM ocr_jobs") == [2]
