"""Passwords, keys and signed addresses stay where they belong: the whole system runs with known ones, fails in every
way, and everything that came out of it is searched for them."""

from __future__ import annotations

import pickle
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text

from jobqueue import (
    ExtractionFeedback,
    InvalidInputError,
    JobNotificationListener,
    JobQueueError,
    JobQueueManager,
    Settings,
)
from jobqueue.api.supabase_token import TokenVerifier
from jobqueue.database import create_database_engine
from jobqueue.redis_connection import connect_redis
from jobqueue.settings import load_settings
from tests.api_server import bearer
from tests.command_line import CommandLine
from tests.conftest import add_user
from tests.eventually import eventually
from tests.image_server import ImageServer
from tests.processes import Processes
from tests.secret_finder import Secret, found
from worker.notifier.service import libpq_url


@dataclass(frozen=True)
class Guarded:
    """The test's own database and Redis, entered with passwords that can be found again."""

    database: Secret
    broker: Secret
    wrong: Secret
    jwt: Secret
    flower: Secret
    provider: Secret
    picture: Secret
    database_url: str
    redis_url: str

    @property
    def all(self) -> list[Secret]:
        return [self.database, self.broker, self.wrong, self.jwt, self.flower, self.provider, self.picture]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "JOBQUEUE_JWT_SECRET": self.jwt.value,
            "JOBQUEUE_FLOWER_PASSWORD": self.flower.value,
            "PROVIDER_KEY": self.provider.value,
        }

    @property
    def settings(self) -> Settings:
        return load_settings(
            database_url=self.database_url,
            redis_url=self.redis_url,
            notifier_database_url=self.database_url,
            celery_broker_url=self.redis_url,
            jwt_secret=self.jwt.value,
            flower_password=self.flower.value,
            private_image_hosts=frozenset({"127.0.0.1"}),
        )

    def with_password(self, url: str, password: str) -> str:
        own = self.database if url == self.database_url else self.broker
        return url.replace(own.quoted, password)


@pytest.fixture
def guarded(database_url: str, redis_url: str) -> Iterator[Guarded]:
    database, broker = Secret.make("database"), Secret.make("broker")
    user = f"user_{uuid4().hex}"
    owner = create_database_engine(database_url)
    with redis.Redis.from_url(redis_url) as admin, owner.connect() as connection:
        quoted = database.value.replace("'", "''").replace("%", "%%")
        connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN PASSWORD '{quoted}' IN ROLE CURRENT_USER")
        connection.commit()
        admin.execute_command("ACL", "SETUSER", user, "on", f">{broker.value}", "~*", "&*", "+@all")

        def entered(url: str, password: str) -> str:
            parsed = make_url(url)
            return f"{parsed.drivername}://{user}:{password}@{parsed.host}:{parsed.port}/{parsed.database}"

        yield Guarded(
            database=database,
            broker=broker,
            wrong=Secret.make("wrong"),
            jwt=Secret.make("jwt"),
            flower=Secret.make("flower", "f:{}&"),
            provider=Secret.make("provider"),
            picture=Secret.make("picture", "{}"),
            database_url=entered(database_url, database.quoted),
            redis_url=entered(redis_url, broker.quoted),
        )
        admin.execute_command("ACL", "DELUSER", user)
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s"
        connection.exec_driver_sql(ended, (user,))
        connection.exec_driver_sql(f"DROP ROLE {user}")
        connection.commit()
    owner.dispose()


@pytest.fixture
def guarded_processes(processes: Processes, guarded: Guarded) -> Processes:
    return replace(processes, environment={**processes.environment, **guarded.environment})


def everything_in(client: redis.Redis) -> str:
    """All keys and values, but for the counts of the scripted extractor, which the tests keep there themselves."""
    shown = []
    for key in client.scan_iter():
        if not key.startswith(b"scripted:"):
            read: dict[Any, Any] = {
                b"string": client.get, b"hash": client.hgetall, b"set": client.smembers,
                b"list": lambda name: client.lrange(name, 0, -1), b"zset": lambda name: client.zrange(name, 0, -1),
            }  # fmt: skip
            shown.append(f"{key!r} {read[client.type(key)](key)!r}")
    return "\n".join(shown)


class Eavesdropper:
    """Everything that is said to Redis while it listens."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=None)
        self.heard: list[str] = []

    def __enter__(self) -> Eavesdropper:
        self._monitor = self._client.monitor()  # type: ignore[no-untyped-call]
        self._monitor.__enter__()
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def _listen(self) -> None:
        try:
            for said in self._monitor.listen():
                if "scripted:" not in said["command"]:
                    self.heard.append(str(said["command"]))
        except (redis.RedisError, OSError, ValueError, AttributeError):
            return  # closed

    def __exit__(self, *_: object) -> None:
        self._monitor.connection.disconnect()


def command_lines() -> str:
    """What ``ps`` shows of every process of this machine to everybody."""
    shown = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            shown.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(shown)


def messages_in(engine: Engine) -> str:
    """What the database keeps of errors; a picture's address stands in its own column, for its owner."""
    with engine.connect() as connection:
        columns = "error_code, error_message, worker, result::text"
        jobs = connection.execute(text(f"SELECT {columns} FROM menu_extraction_jobs")).all()  # noqa: S608
        events = connection.execute(text("SELECT error_code, error_message, worker FROM menu_extraction_job_events"))
        return f"{jobs}{events.all()}"


PAGES = [
    "/",
    "/tasks",
    "/broker",
    "/workers?json=1",
    "/metrics",
    "/api/tasks",
    "/api/workers?refresh=1",
    "/healthcheck",
]


def test_a_running_system_tells_nobody(
    guarded: Guarded,
    guarded_processes: Processes,
    engine: Engine,
    redis_client: redis.Redis,
    redis_url: str,
    image_server: ImageServer,
    tmp_path: Path,
) -> None:
    user = add_user(engine)
    manager = JobQueueManager(settings=guarded.settings)
    token = jwt.encode(
        {"sub": str(user), "aud": "authenticated", "exp": int(time.time()) + 600}, guarded.jwt.value, "HS256"
    )
    with ExitStack() as running, Eavesdropper(redis_url) as eavesdropper:
        running.enter_context(guarded_processes.notifier())
        running.enter_context(guarded_processes.worker(concurrency=1))
        flower = running.enter_context(guarded_processes.flower())
        api = running.enter_context(guarded_processes.api())
        client = running.enter_context(httpx.Client(trust_env=False, timeout=30))
        jobs = []
        signed = {"sig": guarded.picture.value}
        for script in ("ok", "leak", "permanent", "malformed"):
            url = image_server.url(script=script, **signed)
            jobs.append(manager.submit_job(user, url, image_server.sha256(), force=True).job)
        for url in (f"http://127.0.0.1:1/?sig={guarded.picture.value}", image_server.url("/missing.png", **signed)):
            jobs.append(manager.submit_job(user, url, "ab" * 32, force=True).job)
        answers = provoked_answers(client, api, token, guarded)
        run = CommandLine(guarded.environment)
        commands = [run("status", job.id, "--json") for job in jobs[:2]]
        ended = [manager.wait_for_job(job.id, user, timeout=60) for job in jobs]
        assert [job.status for job in ended] == ["completed", *["failed"] * 5]
        operator = ("operator", guarded.flower.value)
        eventually(
            lambda: "FAILURE" in client.get(f"{flower}/api/task/info/{jobs[1].id}", auth=operator).text,
            what="the failure in Flower",
        )
        pages = [f"/task/{job.id}" for job in jobs] + [f"/api/task/info/{job.id}" for job in jobs] + PAGES
        shown = [client.get(f"{flower}{path}", auth=operator) for path in pages]
        assert {one.status_code for one in shown} == {200}
        assert "RuntimeError" not in shown[1].text
        assert found(guarded.all, command_lines()) == set()
        in_redis = everything_in(redis_client)
    manager.close()
    logs = {path.name: path.read_text() for path in tmp_path.glob("*.log")}
    (of_worker,) = [log for log in logs.values() if "ready." in log]
    # The places of the unexpected error are said, what it says is not.
    places = r'scripted_extractor\.py", line \d+, in _take\n(    .*\n)+RuntimeError\nwhile handling\nLookupError\n'
    assert re.search(places, of_worker)
    for name, log in logs.items():
        assert found(guarded.all, log) == set(), name
    assert len(logs) == 4
    assert found(guarded.all, *(one.text for one in shown)) == set()
    # Redis's MONITOR leaves AUTH out, so the passwords were not even said to it in the open.
    assert len(eavesdropper.heard) > 50
    assert found(guarded.all, in_redis, *eavesdropper.heard) == set()
    assert found(guarded.all, messages_in(engine)) == set()
    # A picture's address is its owner's to see.
    others = [secret for secret in guarded.all if secret is not guarded.picture]
    assert found(others, *answers, *(f"{one.stdout}{one.stderr}" for one in commands)) == set()
    assert found(guarded.all, commands[0].stdout) in ({"picture"}, set())


def provoked_answers(client: httpx.Client, api: str, token: str, guarded: Guarded) -> list[str]:
    submit = f"{api}/api/extraction/submit"
    secret = guarded.picture.value
    asked = [
        client.post(
            submit, json={"imageUrl": f"ftp://u:{secret}@pictures.example/?sig={secret}"}, headers=bearer(token)
        ),
        client.post(submit, json={"imageUrl": f"http://127.0.0.1:1/?sig={secret}"}, headers=bearer(token)),
        client.post(submit, json={"image": secret}, headers=bearer(token)),
        client.post(submit, content=b"{" + secret.encode(), headers=bearer(token)),
        client.get(f"{api}/api/extraction/jobs", headers=bearer(token)),
        client.get(f"{api}/api/extraction/quota", headers=bearer(f"{token}x")),
        client.get(f"{api}/api/extraction/quota", headers=bearer(guarded.jwt.value)),
        client.get(f"{api}/health"),
        client.get(f"{api}/openapi.json"),
    ]
    return [f"{one.status_code} {one.headers} {one.text}" for one in asked]


def test_processes_that_cannot_start_tell_nobody(
    guarded: Guarded, guarded_processes: Processes, tmp_path: Path
) -> None:
    """Wrong passwords and servers that are away; each is said in words, and tried again until it works."""
    wrong_database = guarded.with_password(guarded.database_url, guarded.wrong.quoted)
    wrong_broker = guarded.with_password(guarded.redis_url, guarded.wrong.quoted)
    notifier = ["-m", "worker.notifier"]
    worker = ["-m", "celery", "-A", "worker", "worker", "--without-mingle", "--loglevel=DEBUG"]
    started = [
        (notifier, {"DATABASE_URL": wrong_database}, "Postgres refused the user or password"),
        (worker, {"REDIS_URL": wrong_broker}, "Cannot connect to"),
    ]
    with ExitStack() as running:
        for arguments, environment, ready in started:
            command = [sys.executable, *arguments]
            running.enter_context(guarded_processes.running(command, ready, **environment))
        assert found(guarded.all, command_lines()) == set()
    for path in tmp_path.glob("*.log"):
        assert found(guarded.all, path.read_text()) == set(), path.name


def everything_about(error: BaseException) -> str:
    """What a log, an error tracker or another process would get of it."""
    said = "".join(traceback.format_exception(error))
    pickled = pickle.dumps(error) if isinstance(error, JobQueueError) else b""
    return f"{said}{error!r}{error}{vars(error)}{pickled!r}"


DATABASE_URLS = [
    "postgresql://u:{value}@127.0.0.1:1/d",
    "postgresql://u:{quoted}@127.0.0.1:1/d",
    "postgresql://u:{kernel}%zz@127.0.0.1:1/d",
    "postgresql://u:{kernel}@127.0.0.1:port/d",
    "postgresql://u:{kernel}@[::1/d",
    "postgresql://{kernel}",
    "postgresql://u:{kernel}@h\nost:1/d",
    "postgresql://u@127.0.0.1:1/d?password={quoted}&sslmod=x",
    "postgresql://u@127.0.0.1:1/d?password={quoted}&sslmode=x",
    "postgresql://u@127.0.0.1:1/d?sslpassword={quoted}&sslmode=verify-full",
    "postgresql://u:{quoted}@no-such-host.invalid/d",
    "postgresql+asyncpg://u:{quoted}@127.0.0.1:1/d",
    "mysql://u:{quoted}@127.0.0.1:1/d",
    "{value}",
]
REDIS_URLS = [
    "redis://u:{value}@127.0.0.1:1/0",
    "redis://u:{quoted}@127.0.0.1:1/0",
    "redis://u:{kernel}@127.0.0.1:port/0",
    "redis://u:{kernel}@[::1/0",
    "redis://u@127.0.0.1:1/0?password={quoted}",
    "rediss://u:{quoted}@127.0.0.1:1/0?ssl_cert_reqs=x",
    "rediss://u:{quoted}@127.0.0.1:1/0?ssl_password={quoted}&ssl_ca_certs=/nowhere",
    "http://u:{quoted}@127.0.0.1:1/0",
    "{value}",
]


@pytest.mark.parametrize("form", DATABASE_URLS)
def test_a_wrong_database_url_is_not_repeated(form: str, redis_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    secret = Secret.make("database")
    url = form.format(value=secret.value, quoted=secret.quoted, kernel=secret.kernel)
    with pytest.raises(JobQueueError) as caught:
        JobQueueManager(settings=load_settings(database_url=url, redis_url=redis_url)).check_quota(uuid4())
    assert found([secret], everything_about(caught.value)) == set()
    assert caught.value.message.count("\n") == 0
    for command in (["quota", "--user", str(uuid4())], ["migrate"], ["watch", "--user", str(uuid4())]):
        ended = CommandLine({"DATABASE_URL": url, "REDIS_URL": redis_url})(*command)
        assert ended.exit_code != 0
        assert ended.stderr.startswith("Error: ")
        assert found([secret], ended.output, *capfd.readouterr()) == set()


@pytest.mark.parametrize("form", REDIS_URLS)
def test_a_wrong_redis_url_is_not_repeated(
    form: str, database_url: str, user_id: UUID, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    secret = Secret.make("broker")
    url = form.format(value=secret.value, quoted=secret.quoted, kernel=secret.kernel)
    raised = []
    try:
        settings = load_settings(database_url=database_url, redis_url=url)
        with JobNotificationListener(settings=settings) as listener, listener.events(user_id) as stream:
            assert stream.poll(0.3) is None
    except JobQueueError as error:
        raised.append(error)
    assert found([secret], *map(everything_about, raised)) == set()
    assert [error.message for error in raised if "\n" in error.message] == []
    ended = CommandLine({"DATABASE_URL": database_url, "REDIS_URL": url})("watch", uuid4(), "--user", user_id)
    assert ended.exit_code != 0
    assert found([secret], ended.output, *capfd.readouterr(), caplog.text) == set()


@pytest.mark.parametrize("name", ["JOBQUEUE_JWT_SECRET", "JOBQUEUE_LEASE_SECONDS", "JOBQUEUE_NOTIFIER_DATABASE_URL"])
def test_another_wrong_setting_is_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    secret = Secret("setting", "short-SECRET", "short-SECRET")
    monkeypatch.setenv(name, secret.value)
    with pytest.raises(InvalidInputError) as caught:
        load_settings()
    assert found([secret], everything_about(caught.value)) == set()


def test_nothing_shows_secrets_in_its_repr(guarded: Guarded) -> None:
    settings = guarded.settings
    manager, feedback = JobQueueManager(settings=settings), ExtractionFeedback(settings=settings)
    engine = create_database_engine(guarded.database_url)
    with JobNotificationListener(settings=settings) as listener, listener.events(uuid4()) as stream:
        things = [
            settings, manager, feedback, listener, stream, engine, engine.url, TokenVerifier(settings),
            connect_redis(guarded.redis_url), manager._database,
        ]  # fmt: skip
        assert found(guarded.all, *(f"{one!r}{one}" for one in things)) == set()
        assert found(guarded.all, settings.model_dump_json(), str(settings.model_dump())) == set()
    manager.close()
    feedback.close()
    engine.dispose()
    # What the comparison looks for can be found: this is what every driver wants to be given.
    assert found(guarded.all, libpq_url(guarded.database_url)) == {"database"}
    assert isinstance(settings.jwt_secret, SecretStr)


def test_a_statement_that_fails_shows_none_of_its_values(guarded: Guarded, engine: Engine, user_id: UUID) -> None:
    """An address may hold a token, so SQLAlchemy must not put the parameters of a statement into an error's text."""
    manager = JobQueueManager(engine, settings=guarded.settings)
    with engine.begin() as connection:
        connection.execute(
            text("""
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
                    AS $$ BEGIN RAISE 'no to %', NEW.image_url; END $$;
                CREATE TRIGGER refuse BEFORE INSERT ON menu_extraction_jobs FOR EACH ROW EXECUTE FUNCTION refuse();
            """)
        )
    try:
        with pytest.raises(JobQueueError) as caught:
            manager.submit_job(user_id, f"https://pictures.example/?sig={guarded.picture.value}", "ab" * 32)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP FUNCTION refuse CASCADE")
        manager.close()
    assert found(guarded.all, everything_about(caught.value)) == set()
