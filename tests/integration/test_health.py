"""``jobqueue health``: what it reads from a real database, and what it ends with."""

from __future__ import annotations

import time
from uuid import UUID

import pytest
from sqlalchemy import Engine, make_url, text

from jobqueue import JobQueueManager, Settings
from jobqueue.database import Database, create_database_engine
from jobqueue.health import QueueState
from jobqueue.health_check import check_health
from jobqueue.store.leadership import record_sweep, take_lead
from jobqueue.store.queue_state import queue_state
from tests.command_line import CommandLine
from tests.integration.event_numbering import number_all
from tests.integration.jobs import claimed, queued, report_worker
from tests.tcp_proxy import TcpProxy

WORKER = "celery@here"


def state(engine: Engine) -> QueueState:
    return Database(engine).run(queue_state)


def age(engine: Engine, table: str, column: str, seconds: float) -> None:
    with engine.begin() as connection:
        older = f"UPDATE {table} SET {column} = {column} - make_interval(secs => :s)"  # noqa: S608 - our own names
        connection.execute(text(older), {"s": seconds})


def lead_and_sweep(engine: Engine) -> None:
    lead = Database(engine).run(lambda c: take_lead(c, "here:1:x"))
    assert lead is not None
    Database(engine).run(lambda c: record_sweep(c, lead.term))


def test_an_empty_queue_that_never_ran(engine: Engine) -> None:
    found = state(engine)
    assert (found.due, found.oldest_due, found.processing, found.workers) == (0, None, 0, ())
    assert (found.led, found.unled_for, found.swept_ago, found.oldest_unrelayed) == (False, None, None, None)


def test_what_is_read_is_what_is_there(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    report_worker(engine, WORKER, received_age=7)
    held = queued(manager, user_id)
    claimed(engine, held.id, worker=f"{WORKER}/17")
    orphaned = queued(manager, user_id)
    claimed(engine, orphaned.id, worker=f"{WORKER}/18", lease_seconds=-30)
    queued(manager, user_id)
    age(engine, "menu_extraction_job_events", "at", 40)
    lead_and_sweep(engine)
    found = state(engine)
    assert (found.due, found.processing, found.led) == (1, 2, True)
    assert found.oldest_due is not None
    assert 0 <= found.oldest_due < 30
    assert found.orphaned_for is not None
    assert 30 <= found.orphaned_for < 60
    assert found.oldest_unrelayed is not None
    assert 40 <= found.oldest_unrelayed < 70
    (worker,) = found.workers
    assert (worker.name, worker.consuming, worker.holds) == (WORKER, True, 1)
    assert 7 <= worker.received_ago < 37


def test_a_job_whose_lost_message_was_sent_again_has_waited_since_it_was_submitted(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    queued(manager, user_id)
    age(engine, "menu_extraction_jobs", "created_at", 100)
    oldest = state(engine).oldest_due
    assert oldest is not None
    assert 100 <= oldest < 130


def test_a_worker_that_has_had_no_message_is_idle_since_its_start(engine: Engine) -> None:
    report_worker(engine, WORKER, received_age=None)
    age(engine, "menu_extraction_workers", "started_at", 500)
    assert state(engine).workers[0].received_ago >= 500


def test_all_is_well(run: CommandLine, engine: Engine) -> None:
    lead_and_sweep(engine)
    report_worker(engine, WORKER)
    result = run("health")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "All is well.")
    assert WORKER in result.stdout
    answer = run.json("health")
    assert (answer["ready"], answer["healthy"], answer["problems"]) == (True, True, [])
    assert answer["state"]["workers"][0]["name"] == WORKER


def test_what_is_wrong_is_said_in_words_with_exit_code_1(
    run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    queued(manager, user_id)
    age(engine, "menu_extraction_job_events", "at", 40)
    age(engine, "menu_extraction_jobs", "created_at", 100)
    lead_and_sweep(engine)
    result = run("health")
    assert result.exit_code == 1
    assert "RELAY_LAGS: The oldest change has not been announced for 4" in result.stdout
    assert "NO_WORKER: No worker runs, 1 job due" in result.stdout
    number_all(engine)
    report_worker(engine, WORKER, received_age=90)
    assert [one["code"] for one in run.json("health")["problems"]] == ["RELAY_LAGS"]


def test_a_worker_that_answers_and_consumes_nothing_is_found_out(
    run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    queued(manager, user_id)
    age(engine, "menu_extraction_jobs", "created_at", 100)
    lead_and_sweep(engine)
    report_worker(engine, WORKER, received_age=90)
    result = run("health")
    assert result.exit_code == 1
    assert "Alive but taking no work although a job has waited for 10" in result.stdout
    alone = run("health", "--worker", WORKER)
    assert (alone.exit_code, "WORKERS_IDLE" in alone.stdout) == (1, True)
    report_worker(engine, WORKER, received_age=1)
    assert run("health", "--worker", WORKER).exit_code == 0
    assert run("health", "--worker", "celery@elsewhere").exit_code == 1


def test_a_longer_wait_may_be_allowed(
    run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id, worker=f"{WORKER}/17")
    queued(manager, user_id)
    age(engine, "menu_extraction_jobs", "created_at", 400)
    lead_and_sweep(engine)
    report_worker(engine, WORKER)
    assert run("health").exit_code == 1
    assert run("health", "--max-wait", 500).exit_code == 0


def test_redis_away_is_a_problem_but_jobs_can_be_submitted(run: CommandLine, engine: Engine) -> None:
    lead_and_sweep(engine)
    report_worker(engine, WORKER)
    result = run("health", REDIS_URL="redis://:hidden@127.0.0.1:1/0")
    assert result.exit_code == 1
    assert result.stdout.startswith("REDIS_AWAY: Redis cannot be used (ConnectionError)")
    assert "hidden" not in result.stdout
    missing = run("health", REDIS_URL="rediss://127.0.0.1:1/0?ssl_ca_certs=/nowhere")
    assert missing.exit_code == 1
    assert missing.stdout.startswith("REDIS_AWAY: REDIS_URL is wrong: ssl_ca_certs is not a file.")


def test_a_database_that_stands_still_is_said_within_seconds(engine: Engine, settings: Settings) -> None:
    address = make_url(settings.required_database_url)
    proxy = TcpProxy((address.host or "", address.port or 0))
    with proxy.running():
        behind = create_database_engine(address.set(port=proxy.port).render_as_string(hide_password=False))
        database = Database(behind)
        assert check_health(database, settings).ready
        proxy.freeze()
        asked = time.monotonic()
        report = check_health(database, settings)
        assert (report.ready, report.problems[0].code) == (False, "QUEUE_UNAVAILABLE")
        assert time.monotonic() - asked < 15
        proxy.allow()
        behind.dispose()


@pytest.mark.parametrize("json", [True, False])
def test_without_a_database_the_exit_code_is_that_of_an_unavailable_queue(
    run: CommandLine, settings: Settings, json: bool
) -> None:
    options = ["--json"] if json else []
    result = run("health", *options, DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/menus")
    assert result.exit_code == 5
    assert "Nothing answers at the address in DATABASE_URL" in result.stdout
    assert "hidden" not in result.stdout
