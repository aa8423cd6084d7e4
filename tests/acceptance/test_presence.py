"""What a worker says of itself while it runs, while its broker is away, and when it stops."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, text

from jobqueue.database import Database
from jobqueue.health import WorkerPresence, assess_worker
from jobqueue.store.queue_state import queue_state
from jobqueue.store.workers import known_workers
from tests.acceptance.conftest import Application
from tests.eventually import eventually
from tests.integration.jobs import waiting_for_locks
from tests.processes import Processes
from tests.scripted_extractor import held_key, release_key
from tests.tcp_proxy import TcpProxy
from worker.postgres_deadline import DeadlineConnection
from worker.presence import EVERY_SECONDS


def test_a_worker_says_whether_it_consumes_until_it_stops(
    own_application: Application, processes: Processes, redis_url: str, engine: Engine
) -> None:
    database = Database(engine)

    def seen() -> WorkerPresence | None:
        found = database.statement(known_workers)
        return found[0] if found else None

    def consuming() -> bool | None:
        worker = seen()
        return None if worker is None else worker.consuming

    port = urlsplit(redis_url).port or 0
    broker = TcpProxy(("127.0.0.1", port))
    behind = redis_url.replace(f":{port}/", f":{broker.port}/")
    with (
        broker.running(),
        processes.notifier(),
        processes.worker("--hostname=celery@present", CELERY_BROKER_URL=behind) as worker,
    ):
        first = eventually(seen, what="a worker that speaks")
        assert first is not None
        assert first.consuming, "the first word came before the consumer"
        assert (first.name, first.holds) == ("celery@present", 0)

        def received_ago() -> float:
            return (seen() or first).received_ago

        eventually(lambda: received_ago() > first.received_ago + 1, what="a worker without a message")
        quiet_since = time.monotonic() - received_ago()
        own_application.finished(own_application.submit("kill,ok"))
        eventually(lambda: received_ago() < time.monotonic() - quiet_since - 0.5, what="a message received")
        broker.refuse()
        eventually(lambda: consuming() is False, within=40, what="a worker without a broker")
        broker.allow()
        eventually(consuming, within=40, what="a worker that consumes again")
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=30)
        assert seen() is None


@contextmanager
def everything_said(database: Database) -> Iterator[list[WorkerPresence]]:
    """Each different word of the one worker while the block runs."""
    said: list[WorkerPresence] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            said.extend(database.statement(known_workers))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield said
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGQUIT], ids=["warm", "soft"])
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_starts_and_stops_is_never_cut_off_but_stopping(
    own_application: Application, processes: Processes, engine: Engine, asked: signal.Signals, pool: str
) -> None:
    database = Database(engine)
    with (
        everything_said(database) as said,
        processes.notifier(),
        processes.worker(f"--pool={pool}", JOBQUEUE_SOFT_SHUTDOWN_SECONDS="60") as worker,
    ):
        job = own_application.submit("hold,ok")
        assert own_application.redis.blpop([held_key(job.image_url)], timeout=30)
        eventually(lambda: said, what="a worker that speaks")
        assert not said[-1].stopping
        worker.send_signal(asked)
        eventually(lambda: said[-1].stopping, within=4, what="a worker that says that it stops")
        state = database.statement(queue_state)
        assert assess_worker(state, said[-1].name) == []
        own_application.redis.rpush(release_key(job.image_url), "go on")
        if asked == signal.SIGTERM:
            worker.wait(timeout=30)
        else:
            assert own_application.finished(job).status == "completed"
            worker.kill()  # it would sit out the rest of its minute
    assert {(one.consuming, one.stopping) for one in said if not one.consuming} <= {(False, True)}


def test_a_worker_speaks_again_after_a_statement_that_was_never_answered(
    own_application: Application, processes: Processes, database_proxy: TcpProxy, behind_proxy: str, engine: Engine
) -> None:
    database = Database(engine)

    def spoke(ago: float) -> bool:
        found = database.statement(known_workers)
        return bool(found) and found[0].seen_ago < ago

    with processes.worker(DATABASE_URL=behind_proxy):
        eventually(lambda: spoke(5), what="a worker that speaks")
        eventually(lambda: database_proxy.connections == 0, what="a worker that is silent")
        database_proxy.freeze()
        eventually(lambda: database_proxy.connections, what="a statement on its way")
        database_proxy.strand()
        database_proxy.allow()
        eventually(lambda: not spoke(5), what="silence")
        eventually(lambda: spoke(2), within=30, what="a worker that speaks again")


def moment(engine: Engine, column: str) -> Any:
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT {column} FROM menu_extraction_workers")).scalar_one()  # noqa: S608


def test_a_database_that_is_away_is_said_once_and_asked_now_and_then(
    processes: Processes, database_proxy: TcpProxy, behind_proxy: str, engine: Engine
) -> None:
    database = Database(engine)
    with processes.worker(DATABASE_URL=behind_proxy) as worker:
        said = worker.log_path.read_text
        eventually(lambda: database.statement(known_workers), what="a worker that speaks")
        start = moment(engine, "started_at")
        database_proxy.refuse()
        eventually(lambda: "does not hear" in said(), what="a word of the outage")
        began, refused = time.monotonic(), database_proxy.refused
        # The end of the last try may not be counted yet.
        eventually(lambda: database_proxy.refused >= refused + 2, within=30, what="further tries")
        assert time.monotonic() - began > EVERY_SECONDS / 2
        database_proxy.allow()
        eventually(lambda: "hears again" in said(), what="a word of its end")
        heard = moment(engine, "seen_at")
        eventually(lambda: moment(engine, "seen_at") > heard, what="another word")
        assert moment(engine, "started_at") == start
        assert (said().count("does not hear"), said().count("hears again")) == (1, 1)


def test_a_worker_that_cannot_take_its_row_away_is_gone_soon(processes: Processes, engine: Engine) -> None:
    with processes.worker() as worker:
        eventually(lambda: Database(engine).statement(known_workers), what="a worker that speaks")
        with engine.begin() as holder:
            holder.exec_driver_sql("LOCK TABLE menu_extraction_workers IN ACCESS EXCLUSIVE MODE")
            eventually(lambda: waiting_for_locks(engine), what="a word that is not heard")
            unheard = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=30)
            # Until a second statement has waited in vain as well, it would take twice as long as for the first.
            assert time.monotonic() - unheard < 2 * DeadlineConnection.answer_within - 1
