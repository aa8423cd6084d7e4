"""Notifiers and workers that start late, die, take over and stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psycopg2
import pytest
import redis
from sqlalchemy import Engine, make_url, text

from jobqueue import JobNotificationListener, Settings
from jobqueue.database import Database
from jobqueue.embedded import ManagedProcess
from jobqueue.store.relay_state import relay_state
from tests.acceptance.conftest import Application
from tests.eventually import eventually
from tests.integration.jobs import claimed
from tests.processes import NOTIFIER, WORKER, Processes
from tests.scripted_extractor import held_key, release_key
from tests.transaction_pooler import TransactionPooler


def waiting_messages(client: redis.Redis) -> int:
    return int(client.llen("menu_extraction"))


def test_without_a_worker_the_message_waits_in_the_broker(own_application: Application, processes: Processes) -> None:
    with processes.notifier():
        job = own_application.submit("ok")
        eventually(lambda: waiting_messages(own_application.redis) == 1, what="the message")
    (raw,) = own_application.redis.lrange("menu_extraction", 0, -1)
    assert str(job.id) in str(raw)
    assert str(own_application.user_id) not in str(raw)
    assert job.image_url not in str(raw)
    with processes.worker():
        ended = own_application.manager.get_job_status(job.id)
        eventually(lambda: own_application.executions(job) == 1, what="the execution")
    assert ended is not None


def test_a_notifier_that_starts_after_the_submission_still_dispatches(
    own_application: Application, processes: Processes
) -> None:
    with processes.worker():
        jobs = [own_application.submit("ok") for _ in range(3)]
        assert waiting_messages(own_application.redis) == 0
        with processes.notifier():
            assert [own_application.finished(job).status for job in jobs] == ["completed"] * 3


def test_a_second_notifier_takes_over_when_the_first_is_killed(
    own_application: Application, settings: Settings, engine: Engine, processes: Processes
) -> None:
    with JobNotificationListener(engine, settings=settings) as listener, processes.notifier() as first:
        with processes.notifier(ready="standing by") as second:
            stream = listener.events(own_application.user_id)
            before = own_application.submit("ok")
            event = stream.poll(20)
            assert event is not None
            assert event.job_id == before.id
            os.kill(first.pid, signal.SIGKILL)
            killed = time.monotonic()
            after = own_application.submit("ok")
            event = stream.poll(20)
            assert event is not None
            assert (event.job_id, event.cursor) == (after.id, 2)
            assert time.monotonic() - killed < 5
            assert second.poll() is None
        eventually(lambda: waiting_messages(own_application.redis) == 2, what="both messages")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_notifier_stops_within_two_seconds(processes: Processes, number: signal.Signals) -> None:
    with processes.notifier() as leader, processes.notifier(ready="standing by") as standby:
        for process in (standby, leader):
            asked = time.monotonic()
            process.send_signal(number)
            assert process.wait(timeout=10) == 0
            assert time.monotonic() - asked < 2


# Every batch that is numbered brings another event.
FEED_WITHOUT_END = """
    CREATE FUNCTION feed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO menu_extraction_jobs (user_id, image_url) SELECT id, 'x' FROM auth.users LIMIT 1;
        RETURN NULL;
    END $$;
    CREATE TRIGGER feed AFTER UPDATE OF cursor ON menu_extraction_job_events EXECUTE FUNCTION feed();
"""
END_FEEDING = "DROP TRIGGER feed ON menu_extraction_job_events; DROP FUNCTION feed()"


@pytest.fixture
def _fed_without_end(engine: Engine) -> Iterator[None]:
    with engine.begin() as connection:
        connection.exec_driver_sql(FEED_WITHOUT_END)
    yield
    with engine.begin() as connection:
        connection.exec_driver_sql(END_FEEDING)


@pytest.mark.usefixtures("_fed_without_end")
def test_a_notifier_that_is_never_done_relaying_still_sweeps_and_stops(
    own_application: Application, engine: Engine, processes: Processes
) -> None:
    job = own_application.submit()
    claimed(engine, job.id, lease_seconds=0)
    with processes.running(NOTIFIER, "lost its worker") as notifier:
        swept_at = Database(engine).run(relay_state).swept_at
        eventually(lambda: Database(engine).run(relay_state).swept_at != swept_at, what="another sweep")
        assert Database(engine).run(relay_state).relayed_at is None
        notifier.send_signal(signal.SIGTERM)
        assert notifier.wait(timeout=10) == 0


def test_a_worker_without_work_stops_soon_on_sigterm(processes: Processes) -> None:
    with processes.worker() as worker:
        asked = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=20) == 0
        assert time.monotonic() - asked < 6


def test_a_worker_that_is_asked_to_stop_finishes_what_it_began(
    own_application: Application, processes: Processes
) -> None:
    with processes.notifier(), processes.worker() as worker:
        job = own_application.submit("hold")
        own_application.redis.blpop([held_key(job.image_url)], timeout=30)
        worker.send_signal(signal.SIGTERM)
        own_application.redis.rpush(release_key(job.image_url), "go on")
        worker.wait(timeout=20)
    ended = own_application.manager.get_job_status(job.id)
    assert ended is not None
    assert (ended.status, ended.attempt) == ("completed", 1)


def test_a_job_of_a_killed_worker_is_finished_by_another(own_application: Application, processes: Processes) -> None:
    with processes.notifier():
        with processes.worker() as worker:
            job = own_application.submit("hold,ok")
            own_application.redis.blpop([held_key(job.image_url)], timeout=30)
            worker.kill()
        with processes.worker():
            ended = own_application.finished(job)
    assert (ended.status, ended.attempt) == ("completed", 2)


def test_a_long_extraction_keeps_its_lease(own_application: Application, processes: Processes, engine: Engine) -> None:
    with processes.notifier(), processes.worker():
        job = own_application.submit("hold")
        own_application.redis.blpop([held_key(job.image_url)], timeout=30)
        leases = set()

        def renewed() -> bool:
            with engine.connect() as connection:
                leases.add(connection.execute(text("SELECT lease_expires_at FROM menu_extraction_jobs")).scalar_one())
            return len(leases) > 6  # three leases long, since each is renewed three times

        eventually(renewed, what="renewals")
        own_application.redis.rpush(release_key(job.image_url), "go on")
        ended = own_application.finished(job)
    assert (ended.status, ended.attempt) == ("completed", 1)
    assert own_application.executions(job) == 1


def test_a_lost_message_is_sent_again(own_application: Application, processes: Processes) -> None:
    with processes.notifier():
        job = own_application.submit("ok")
        eventually(lambda: waiting_messages(own_application.redis) == 1, what="the message")
        own_application.redis.delete("menu_extraction")
        with processes.worker():
            assert own_application.finished(job).status == "completed"
    assert own_application.executions(job) == 1


def test_a_message_that_comes_many_times_executes_once(own_application: Application, processes: Processes) -> None:
    with processes.notifier():
        job = own_application.submit("ok")
        eventually(lambda: waiting_messages(own_application.redis) == 1, what="the message")
    (raw,) = own_application.redis.lrange("menu_extraction", 0, -1)
    own_application.redis.rpush("menu_extraction", *[raw] * 20)
    with processes.notifier(), processes.worker():
        assert own_application.finished(job).status == "completed"
        eventually(lambda: waiting_messages(own_application.redis) == 0, what="an empty queue")
    assert own_application.executions(job) == 1
    assert own_application.story(job) == ["queued", "processing", "completed"]


def test_in_wake_up_mode_the_whole_path_works_without_a_payload_in_postgres(
    own_application: Application, processes: Processes, engine: Engine, database_url: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_settings SET value = 'wake_up' WHERE name = 'notify_mode'"))
    other_program = psycopg2.connect(database_url)
    other_program.autocommit = True
    with other_program.cursor() as cursor:
        cursor.execute("LISTEN menu_extraction_jobs")
        cursor.execute("LISTEN menu_extraction_jobs_wake_up")
    with processes.notifier(), processes.worker():
        for _ in range(3):
            job = own_application.submit("ok")
            assert own_application.finished(job).status == "completed"
            assert own_application.story(job) == ["queued", "processing", "completed"]
    other_program.poll()
    assert {one.payload for one in other_program.notifies} <= {""}
    other_program.close()


def test_a_notifier_outlives_a_restart_of_its_connections(
    own_application: Application, processes: Processes, engine: Engine
) -> None:
    with processes.notifier():
        first = own_application.submit("ok")
        eventually(lambda: waiting_messages(own_application.redis) == 1, what="the first message")
        with engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'menu-jobqueue notifier'"
                )
            )
        second = own_application.submit("ok")
        eventually(lambda: waiting_messages(own_application.redis) >= 2, what="the second message")
    messages = str(own_application.redis.lrange("menu_extraction", 0, -1))
    assert str(first.id) in messages
    assert str(second.id) in messages


def ended_by_itself(processes: Processes, command: list[str], **environment: str) -> tuple[int, list[str]]:
    """Exit code and printed lines of a process that refuses to start; as root, Celery warns of that first."""
    log = processes.logs / "refused.log"
    with ManagedProcess(command, log_path=log, env={**processes.environment, **environment}) as process:
        code = process.wait(timeout=30)
    return code, [line for line in log.read_text().splitlines() if line.strip()]


WRONG: list[tuple[str, str, str]] = [
    ("DATABASE_URL", "mysql://h/d", "DATABASE_URL is wrong"),
    ("REDIS_URL", "redis://host:port/0", "REDIS_URL is wrong"),
    ("JOBQUEUE_LEASE_SECONDS", "soon", "JOBQUEUE_LEASE_SECONDS is wrong"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
@pytest.mark.parametrize("command", [WORKER, NOTIFIER], ids=["worker", "notifier"])
def test_a_wrong_setting_is_one_line_and_an_exit_code(
    processes: Processes, command: list[str], name: str, value: str, expected: str
) -> None:
    code, lines = ended_by_itself(processes, command, **{name: value})
    assert code not in (0, None)
    assert "Traceback" not in str(lines)
    assert lines[-1].startswith(f"Error: {expected}")


@pytest.mark.parametrize(
    ("command", "name"),
    [(WORKER, "DATABASE_URL"), (WORKER, "REDIS_URL"), (NOTIFIER, "DATABASE_URL")],
    ids=["worker-database", "worker-redis", "notifier-database"],
)
def test_a_missing_setting_is_one_line_and_an_exit_code(processes: Processes, command: list[str], name: str) -> None:
    environment = {key: value for key, value in processes.environment.items() if key != name}
    code, lines = ended_by_itself(Processes(environment, processes.logs, processes.numbers), command)
    assert code not in (0, None)
    assert "Traceback" not in str(lines)
    assert lines[-1].startswith(f"Error: {name} is not set; give it as ")


def test_a_notifier_does_not_start_behind_a_pooler_in_transaction_mode(processes: Processes, database_url: str) -> None:
    url = make_url(database_url)
    assert url.host is not None
    pooler = TransactionPooler((url.host, url.port or 5432), size=1)
    with pooler.running():
        pooled = url.set(host="127.0.0.1", port=pooler.port).render_as_string(hide_password=False)
        code, lines = ended_by_itself(processes, NOTIFIER, DATABASE_URL=pooled)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert "JOBQUEUE_NOTIFIER_DATABASE_URL" in lines[0]


def test_a_notifier_works_behind_such_a_pooler_when_it_listens_at_a_direct_address(
    own_application: Application, processes: Processes, database_url: str
) -> None:
    url = make_url(database_url)
    assert url.host is not None
    pooler = TransactionPooler((url.host, url.port or 5432), size=1)
    with pooler.running():
        pooled = url.set(host="127.0.0.1", port=pooler.port).render_as_string(hide_password=False)
        addresses = {"DATABASE_URL": pooled, "JOBQUEUE_NOTIFIER_DATABASE_URL": database_url}
        with processes.running(NOTIFIER, "This notifier leads.", **addresses):
            own_application.submit("ok")
            eventually(lambda: waiting_messages(own_application.redis) == 1, what="the message")


def test_a_worker_without_its_extractor_does_not_start(processes: Processes) -> None:
    code, lines = ended_by_itself(processes, WORKER, JOBQUEUE_EXTRACTOR="no.such.module:Extractor")
    assert code not in (0, None)
    assert "Traceback" not in str(lines)
    assert lines[-1].startswith("Error: JOBQUEUE_EXTRACTOR is wrong: ")


def test_a_worker_without_its_model_does_not_start(processes: Processes) -> None:
    code, lines = ended_by_itself(processes, WORKER, JOBQUEUE_EXTRACTOR="llm")
    assert code not in (0, None)
    assert "Traceback" not in str(lines)
    assert lines[-1].startswith("Error: JOBQUEUE_LLM_MODEL is not set; ")
