"""Postgres and Redis behind TLS: every process gets there, nothing is readable, a wrong certificate is refused."""

from __future__ import annotations

import asyncio
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest
import redis
import trustme
from celery import Celery
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import OperationalError

from jobqueue import (
    AsyncJobNotificationListener,
    InvalidInputError,
    JobNotificationListener,
    JobQueueManager,
    QueueUnavailableError,
    Settings,
)
from jobqueue.database import create_database_engine
from jobqueue.redis_connection import connect_redis, connect_redis_async, tls_options
from jobqueue.settings import load_settings
from tests.api_server import SECRET, bearer, token
from tests.command_line import CommandLine, error_of
from tests.eventually import eventually
from tests.image_server import ImageServer
from tests.integration.event_numbering import number_all
from tests.processes import REPOSITORY, Processes
from tests.tls_proxy import TlsProxy

NOT_TRUSTED = "certificate verify failed"


@dataclass(frozen=True)
class Secured:
    """The test's own database and Redis, behind TLS; the certificates are for ``localhost`` alone."""

    postgres: TlsProxy
    redis: TlsProxy
    authority: str
    stranger: str
    database_url: str
    redis_url: str

    def postgres_at(self, host: str = "localhost", **query: str) -> str:
        url = make_url(self.database_url).set(host=host, port=self.postgres.port, query=query)
        return url.render_as_string(hide_password=False)

    def redis_at(self, host: str = "localhost", query: str = "", scheme: str = "rediss") -> str:
        url = make_url(self.redis_url).set(drivername=scheme, host=host, port=self.redis.port)
        return f"{url.render_as_string(hide_password=False)}{query}"

    @property
    def verified_postgres(self) -> str:
        return self.postgres_at(sslmode="verify-full", sslrootcert=self.authority)

    @property
    def verified_redis(self) -> str:
        return self.redis_at(query=f"?ssl_ca_certs={self.authority}")


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.LeafCert, str, str]:
    folder = tmp_path_factory.mktemp("authorities")
    ours, stranger = trustme.CA(), trustme.CA()
    for name, one in (("ours", ours), ("stranger", stranger)):
        one.cert_pem.write_to_path(str(folder / name))
    return ours.issue_cert("localhost"), str(folder / "ours"), str(folder / "stranger")


@pytest.fixture
def secured(authorities: tuple[trustme.LeafCert, str, str], database_url: str, redis_url: str) -> Iterator[Secured]:
    certificate, ours, stranger = authorities

    def target(url: str, port: int) -> tuple[str, int]:
        parsed = make_url(url)
        return parsed.host or "127.0.0.1", parsed.port or port

    with ExitStack() as running:
        postgres = running.enter_context(TlsProxy(target(database_url, 5432), certificate, "postgres").running())
        server = running.enter_context(TlsProxy(target(redis_url, 6379), certificate, "redis").running())
        yield Secured(postgres, server, ours, stranger, database_url, redis_url)


@pytest.fixture
def on_tls(secured: Secured, settings: Settings) -> Settings:
    return load_settings(
        database_url=secured.verified_postgres,
        redis_url=secured.verified_redis,
        private_image_hosts=settings.private_image_hosts,
    )


@pytest.fixture
def processes_on_tls(processes: Processes, secured: Secured) -> Processes:
    urls = {"DATABASE_URL": secured.verified_postgres, "REDIS_URL": secured.verified_redis}
    return replace(processes, environment={**processes.environment, **urls})


def test_one_job_from_end_to_end_over_tls_alone(
    processes_on_tls: Processes, secured: Secured, on_tls: Settings, user_id: UUID, image_server: ImageServer
) -> None:
    with ExitStack() as running:
        for process in (processes_on_tls.notifier(), processes_on_tls.worker(concurrency=1)):
            running.enter_context(process)
        api = running.enter_context(processes_on_tls.api(JOBQUEUE_JWT_SECRET=SECRET))
        flower = running.enter_context(processes_on_tls.flower(JOBQUEUE_FLOWER_PASSWORD="sesame"))
        client = running.enter_context(httpx.Client(trust_env=False, timeout=30))
        operator = ("operator", "sesame")
        workers = f"{flower}/workers?json=1"
        eventually(lambda: client.get(workers, auth=operator).json()["data"], what="Flower hears the worker")
        listener = running.enter_context(JobNotificationListener(settings=on_tls))
        stream = running.enter_context(listener.events(user_id))
        answer = client.post(
            f"{api}/api/extraction/submit", json={"imageUrl": image_server.url()}, headers=bearer(token(user_id))
        )
        job_id = answer.json()["jobId"]
        assert [next(stream).status for _ in range(3)] == ["queued", "processing", "completed"]
        assert asyncio.run(_replayed(on_tls, user_id)) == job_id
        shown = processes_on_tls.command("status", job_id, "--user", str(user_id), "--json")
        assert '"status": "completed"' in shown.stdout, shown
        tasks = eventually(lambda: client.get(f"{flower}/api/tasks", auth=operator).json(), what="Flower's tasks")
        assert tasks.keys() == {job_id}
        assert "menu_extraction" in client.get(f"{flower}/broker", auth=operator).text
    for proxy in (secured.postgres, secured.redis):
        assert proxy.encrypted > 3
        assert (proxy.plain, proxy.broken_off) == ([], 0)
        assert job_id.encode() in proxy.inside
        assert job_id.encode() not in proxy.wire


@pytest.mark.parametrize("iterated", [False, True])
def test_an_asyncio_listener_parts_from_redis_before_its_loop_ends(
    secured: Secured, on_tls: Settings, user_id: UUID, iterated: bool
) -> None:
    secured.redis.farewell_seconds = 0.5

    async def come_and_go() -> None:
        async with AsyncJobNotificationListener(settings=on_tls) as listener, listener.events(user_id) as stream:
            if iterated:
                stream.end()
                assert [event async for event in stream] == []

    asyncio.run(come_and_go())
    assert secured.redis.parted == secured.redis.encrypted == 1


async def _replayed(settings: Settings, user_id: UUID) -> str:
    async with AsyncJobNotificationListener(settings=settings) as listener, listener.events(user_id, 0) as stream:
        async for event in stream:
            return str(event.job_id)
    raise AssertionError


@pytest.mark.parametrize("command", ["jobqueue", "alembic"])
def test_a_database_is_migrated_over_tls(
    processes_on_tls: Processes, secured: Secured, empty_database_url: str, command: str
) -> None:
    url = make_url(secured.verified_postgres).set(database=make_url(empty_database_url).database)
    environment = {"DATABASE_URL": url.render_as_string(hide_password=False)}
    if command == "jobqueue":
        assert CommandLine(environment)("migrate").stdout == "The database is up to date.\n"
    else:
        upgrade = [sys.executable, "-m", "alembic", "upgrade", "head"]
        subprocess.run(
            upgrade,
            check=True,
            cwd=REPOSITORY,
            capture_output=True,
            env={**processes_on_tls.environment, **environment},
        )
    assert (secured.postgres.encrypted, secured.postgres.plain) == (1, [])


Connect = Callable[[str], object]


def redis_py(url: str) -> object:
    return connect_redis(url).ping()


def redis_py_async(url: str) -> object:
    async def ping() -> object:
        async with connect_redis_async(url) as client:
            return await client.ping()

    return asyncio.run(ping())


def configured(**environment: str) -> Celery:
    """An application with the worker's settings as they are with these variables."""
    with pytest.MonkeyPatch.context() as changed:
        for name, value in environment.items():
            changed.setenv(name, value)
        settings = runpy.run_path(str(REPOSITORY / "worker" / "celery_config.py"))
    settings["broker_transport_options"] = {"interval_start": 0}
    app = Celery(set_as_current=False)
    app.config_from_object(SimpleNamespace(**settings))
    return app


def kombu(url: str) -> object:
    with configured(REDIS_URL=url).connection_for_write() as connection:
        return connection.connect()


every_client = pytest.mark.parametrize("connect", [redis_py, redis_py_async, kombu])


@every_client
def test_redis_is_verified_whether_or_not_its_url_says_so(
    secured: Secured, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    assert connect(secured.verified_redis)
    for url, reason in [
        (secured.redis_at(), NOT_TRUSTED),
        (secured.redis_at(query=f"?ssl_ca_certs={secured.stranger}"), NOT_TRUSTED),
        (secured.redis_at("127.0.0.1", f"?ssl_ca_certs={secured.authority}"), "not valid for '127.0.0.1'"),
    ]:
        with pytest.raises(redis.ConnectionError, match=reason):
            connect(url)
    monkeypatch.setenv("SSL_CERT_FILE", secured.authority)  # what the system trusts
    assert connect(secured.redis_at())
    monkeypatch.delenv("SSL_CERT_FILE")
    assert connect(secured.redis_at(query="?ssl_cert_reqs=none"))


def test_kombu_by_itself_believes_any_certificate(secured: Secured) -> None:
    naive = Celery(broker=secured.redis_at(), set_as_current=False)
    with naive.connection_for_write() as connection:
        assert connection.connect()
    assert secured.redis.encrypted == 1


def test_rabbitmq_is_verified_with_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    with authority.cert_pem.tempfile() as file, ExitStack() as running:
        monkeypatch.setenv("SSL_CERT_FILE", file)
        for name, expected in (("127.0.0.1", "closed connection"), ("localhost", "not valid for '127.0.0.1'")):
            certificate = authority.issue_cert(name)
            proxy = TlsProxy(("127.0.0.1", 1), certificate, "redis")  # nobody listens there
            running.enter_context(proxy.running())
            app = configured(CELERY_BROKER_URL=f"amqps://127.0.0.1:{proxy.port}//")
            with pytest.raises(OSError, match=expected), app.connection_for_write() as connection:
                connection.connect()
            assert (proxy.encrypted > 0) == (name == "127.0.0.1")


def test_who_does_not_encrypt_is_seen(secured: Secured) -> None:
    with pytest.raises(redis.ConnectionError):
        redis_py(secured.redis_at(scheme="redis"))
    with pytest.raises(OperationalError):
        create_database_engine(secured.postgres_at(sslmode="disable")).connect()
    assert b"HELLO" in secured.redis.plain[0]
    assert len(secured.postgres.plain) == 1


@pytest.mark.parametrize(
    ("host", "query", "sentence"),
    [
        (
            "127.0.0.1",
            {"sslmode": "verify-full", "sslrootcert": "{authority}"},
            "certificate is not trusted; check host",
        ),
        (
            "localhost",
            {"sslmode": "verify-full", "sslrootcert": "{stranger}"},
            "certificate is not trusted; check host",
        ),
        ("localhost", {"sslmode": "verify-full", "sslrootcert": "/nowhere"}, "certificate is not trusted; check host"),
        ("localhost", {"sslmode": "very-safe"}, "check its part behind the '?'"),
        ("localhost", {"sslmod": "verify-full"}, "check its part behind the '?'"),
    ],
)
def test_a_postgres_that_is_not_trusted_is_one_sentence(
    secured: Secured, host: str, query: dict[str, str], sentence: str
) -> None:
    given = {
        name: value.format(authority=secured.authority, stranger=secured.stranger) for name, value in query.items()
    }
    url = secured.postgres_at(host, **given)
    manager = JobQueueManager(settings=load_settings(database_url=url))
    with pytest.raises(QueueUnavailableError, match=sentence):
        manager.check_quota("00000000-0000-4000-8000-000000000000")
    manager.close()
    ended = CommandLine({"DATABASE_URL": url})("migrate")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert sentence in error_of(ended)
    assert secured.postgres.inside == b""


def test_a_postgres_without_tls_is_one_sentence(database_url: str) -> None:
    engine = create_database_engine(database_url)
    with engine.connect() as connection:
        if connection.execute(text("SHOW ssl")).scalar_one() == "on":
            pytest.skip("this server speaks TLS itself")
    engine.dispose()
    url = make_url(database_url).set(query={"sslmode": "require"}).render_as_string(hide_password=False)
    manager = JobQueueManager(settings=load_settings(database_url=url))
    with pytest.raises(QueueUnavailableError, match=r"^Postgres does not speak TLS, which sslmode .* asks for\.$"):
        manager.get_job_status("00000000-0000-4000-8000-000000000000")
    manager.close()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?ssl_cert_reqs=CERT_REQUIRED", "ssl_cert_reqs must be required, optional or none."),
        ("?ssl_ca_certs=/nowhere", "ssl_ca_certs is not a file."),
        ("?ssl_min_version=best", "give it as redis://host:6379/0."),
    ],
)
def test_a_wrong_option_is_one_sentence_at_the_start(query: str, sentence: str) -> None:
    url = f"rediss://localhost:6379/0{query}"
    for connect in (connect_redis, connect_redis_async, tls_options):
        with pytest.raises(InvalidInputError, match=f"^REDIS_URL is wrong: {sentence}$"):
            connect(url)
    with pytest.raises(SystemExit, match=f"^Error: REDIS_URL is wrong: {sentence}$"):
        configured(REDIS_URL=url)
    with pytest.raises(SystemExit, match=f"^Error: CELERY_BROKER_URL is wrong: {sentence}$"):
        configured(REDIS_URL="redis://localhost", CELERY_BROKER_URL=url)


def test_the_processes_say_that_they_do_not_trust_redis(
    processes: Processes,
    secured: Secured,
    on_tls: Settings,
    engine: Engine,
    user_id: UUID,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = secured.redis_at(query=f"?ssl_ca_certs={secured.stranger}")
    distrusting = replace(processes, environment={**processes.environment, "REDIS_URL": url})
    manager = JobQueueManager(settings=on_tls)
    manager.submit_job(user_id, "https://pictures.example/menu.png", "ab" * 32)
    manager.close()
    with distrusting.running([sys.executable, "-m", "worker.notifier"], NOT_TRUSTED) as process:
        said = [line for line in Path(process.log_path).read_text().splitlines() if NOT_TRUSTED in line]
        assert len(said) == 1
        assert "The notifier was interrupted" in said[0]
    number_all(engine)  # another notifier, which trusts it
    settings = on_tls.model_copy(update={"redis_url": SecretStr(url)})
    with JobNotificationListener(settings=settings) as listener, listener.events(user_id, 0) as stream:
        assert next(stream).status == "queued"  # from the log in Postgres
    assert "TLS certificate is not trusted: check host and ssl_ca_certs in REDIS_URL" in caplog.text
    assert secured.redis.encrypted == 0
