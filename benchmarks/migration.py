"""How long the way from a large ``ocr_jobs`` table and back holds which lock, and how long programs waited for it.

``python -m benchmarks.migration --rows 1000000`` starts a PostgreSQL of its own with the usual durability. A sampler
looks at ``pg_locks`` of the migration's session; a reader and a writer use the table under its old name all the time.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from jobqueue.database import create_database_engine
from jobqueue.embedded import EmbeddedPostgres
from jobqueue.migration import migrate, migrations_folder
from tests.old_table import OLD_DATABASE

USERS = 1_000
SAMPLE_SECONDS = 0.002
WAY_UP = ("0001", "0002", "0003", "0004", "0005", "0006")
WAY_BACK = ("0005", "0004", "0003", "0002", "0001", "base")

# A finished table of an old installation: most rows in order, some of each kind that the upgrade has to deal with.
FILL = """
    INSERT INTO auth.users SELECT gen_random_uuid() FROM generate_series(1, {users});
    ALTER TABLE ocr_jobs DISABLE TRIGGER USER;
    INSERT INTO ocr_jobs (user_id, image_url, image_hash, status, result, processing_time, retry_count, created_at,
                          completed_at)
    SELECT ids[1 + n % {users}], 'https://pictures.example/' || n || '.png', md5(n::text) || md5(n::text),
           CASE WHEN n % 1000 = 0 THEN 'queued' WHEN n % 1000 = 1 THEN 'processing' WHEN n % 10 = 2 THEN 'failed'
                ELSE 'completed' END,
           CASE WHEN n % 1000 > 1 AND n % 10 <> 2 THEN jsonb_build_object('menu', jsonb_build_object('categories',
               jsonb_build_array(jsonb_build_object('name', 'Soups', 'items', repeat(md5(n::text), 10))))) END,
           900, nullif(n % 50, 49) % 3, now() - n * interval '10 seconds',
           CASE WHEN n % 1000 > 1 AND n % 20 <> 5 THEN now() - n * interval '10 seconds' + interval '1 second' END
    FROM generate_series(1, {rows}) AS n, (SELECT array_agg(id) AS ids FROM auth.users) AS users;
    ALTER TABLE ocr_jobs ENABLE TRIGGER USER;
    ANALYZE;
"""
LOCKS = """
    SELECT coalesce(class.relname, locked.relation::text), locked.mode
    FROM pg_locks AS locked LEFT JOIN pg_class AS class ON class.oid = locked.relation
    WHERE locked.pid = :pid AND locked.locktype = 'relation' AND locked.granted
          AND class.relname IN ('ocr_jobs', 'menu_extraction_jobs', 'users', 'profiles') AND class.relkind = 'r'
"""
CONFLICTS_WITH_READING = "AccessExclusiveLock"


class Sampler:
    """The longest time that the migration was seen to hold each lock without a break."""

    def __init__(self, engine: Engine, pid: int) -> None:
        self._engine = engine
        self._pid = pid
        self._since: dict[tuple[str, str], float] = {}
        self.longest: dict[tuple[str, str], float] = defaultdict(float)
        self.longest_gap = 0.0

    def run(self, stop: threading.Event) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            before = time.monotonic()
            while not stop.wait(SAMPLE_SECONDS):
                held = {tuple(row) for row in connection.execute(text(LOCKS), {"pid": self._pid})}
                now = time.monotonic()
                self.longest_gap = max(self.longest_gap, now - before)
                for lock in held:
                    began = self._since.setdefault(lock, before)  # it may have been taken right after the last look
                    self.longest[lock] = max(self.longest[lock], now - began)
                self._since = {lock: began for lock, began in self._since.items() if lock in held}
                before = now


class Program:
    """An old program that does the same again and again, and the longest that it took."""

    def __init__(self, engine: Engine, work: Callable[[Connection], Any]) -> None:
        self._engine = engine
        self._work = work
        self._times: list[tuple[float, float]] = []

    def run(self, stop: threading.Event) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not stop.wait(0.001):
                began = time.monotonic()
                self._work(connection)
                self._times.append((began, time.monotonic() - began))

    def longest(self, since: float, until: float) -> tuple[int, float]:
        """How often it ran and the longest time, of what was under way between these moments."""
        took = [seconds for began, seconds in list(self._times) if began < until and began + seconds > since]
        return len(took), max(took, default=0.0)


def read(connection: Connection) -> None:
    connection.execute(text("SELECT count(*) FROM (SELECT FROM ocr_jobs LIMIT 20) AS newest")).one()


def make_writer(engine: Engine) -> Callable[[Connection], None]:
    with engine.connect() as connection:
        user = connection.execute(text("SELECT id FROM auth.users LIMIT 1")).scalar_one()

    def write(connection: Connection) -> None:
        connection.execute(
            text("INSERT INTO ocr_jobs (user_id, image_url, image_hash) VALUES (:user, 'https://x/new', 'h')"),
            {"user": user},
        )

    return write


@contextmanager
def running(*loops: Any) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def go_to(connection: Connection, move: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    move(config, revision)


def measure(engine: Engine, rows: int) -> None:
    print(f"Filling ocr_jobs with {rows:,} rows ...", flush=True)
    with engine.begin() as connection:
        for part in (OLD_DATABASE, FILL.format(rows=rows, users=USERS)):
            connection.exec_driver_sql(part.replace("%", "%%"))
    with engine.connect() as connection:
        size = connection.execute(text("SELECT pg_size_pretty(pg_table_size('ocr_jobs'))")).scalar_one()
        print(f"The table takes {size} without indexes.")

    reader, writer = Program(engine, read), Program(engine, make_writer(engine))
    with engine.connect() as connection, running(reader, writer):
        calm = time.monotonic()
        time.sleep(5)
        report_programs("no migration", calm, reader, writer)
        for revision in WAY_UP:
            measure_step(engine, connection, command.upgrade, revision, (reader, writer))
        report_jobs(connection)
        for revision in WAY_BACK:
            measure_step(engine, connection, command.downgrade, revision, (reader, writer))
        size = connection.execute(text("SELECT count(*) FROM ocr_jobs")).scalar_one()
        print(f"{size:,} rows are in the old table again")


def measure_step(
    engine: Engine,
    connection: Connection,
    move: Callable[[Config, str], None],
    revision: str,
    programs: tuple[Program, Program],
) -> None:
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    connection.commit()
    sampler = Sampler(engine, pid)
    with running(sampler):
        began = time.monotonic()
        go_to(connection, move, revision)
        took = time.monotonic() - began
    report_programs(f"{move.__name__} {revision}: {took:7.2f} s", began, *programs)
    for (table, mode), seconds in sorted(sampler.longest.items(), key=lambda one: -one[1]):
        mark = " (stops readers)" if mode == CONFLICTS_WITH_READING else ""
        print(f"      {seconds * 1000:9.1f} ms  {mode} on {table}{mark}")
    print(f"      sampled every {sampler.longest_gap * 1000:.0f} ms or more often", flush=True)


def report_jobs(connection: Connection) -> None:
    query = """
        SELECT (SELECT count(*) FROM menu_extraction_jobs), (SELECT count(*) FROM menu_extraction_job_events),
               (SELECT count(*) FROM menu_extraction_jobs WHERE event_seq = 0 AND completed_at IS NULL)
    """
    jobs, events, forgotten = connection.execute(text(query)).one()
    connection.commit()
    print(f"{jobs:,} jobs, {events:,} events, {forgotten} unfinished jobs without an event")


def report_programs(what: str, since: float, reader: Program, writer: Program) -> None:
    until = time.monotonic()
    for name, program in (("reads", reader), ("writes", writer)):
        count, longest = program.longest(since, until)
        print(f"{what:26} {name:6} {count:6} done, longest {longest * 1000:8.1f} ms", flush=True)


def trigger_cost(engine: Engine) -> None:
    """What SECURITY DEFINER with a fixed search path adds to a write."""
    with engine.begin() as connection:
        definition = connection.execute(
            text("SELECT pg_get_functiondef('notify_menu_extraction_jobs'::regproc)")
        ).scalar_one()
    plain = definition.replace(" SECURITY DEFINER", "").replace(
        "\n SET search_path TO 'pg_catalog', 'public', 'pg_temp'", ""
    )
    if plain == definition:
        raise SystemExit("The trigger function has neither SECURITY DEFINER nor a search path.")
    insert = """
        INSERT INTO menu_extraction_jobs (user_id, image_url)
        SELECT (SELECT id FROM auth.users LIMIT 1), 'https://x/cost' FROM generate_series(1, 20000)
    """
    times: dict[str, list[float]] = {"definer": [], "plain": []}
    for _ in range(5):
        for name, function in (("definer", definition), ("plain", plain)):
            with engine.connect() as connection, connection.begin() as transaction:
                connection.exec_driver_sql(function.replace("%", "%%"))
                began = time.monotonic()
                connection.execute(text(insert))
                times[name].append((time.monotonic() - began) / 20_000 * 1e6)
                transaction.rollback()
    for name, took in times.items():
        print(f"insert with {name:8} trigger function: {min(took):6.1f} us a row (fastest of {len(took)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with EmbeddedPostgres() as server:
        engine = create_database_engine(server.url, pool_size=10)
        measure(engine, rows)
        migrate(engine)
        trigger_cost(engine)
        engine.dispose()


if __name__ == "__main__":
    main()
