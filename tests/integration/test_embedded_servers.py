"""EmbeddedPostgres and EmbeddedValkey: lifecycle, data, ports, folders, and the sentences of their errors."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobqueue.embedded import EmbeddedPostgres, EmbeddedServerError, EmbeddedValkey
from jobqueue.embedded import embedded_server as lifecycle
from jobqueue.embedded.loopback_port import pick_free_port
from tests.process_tree import is_alive

QUICK = {"fsync": "off"}


def ask(url: str, statement: str) -> object:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)
        return None if cursor.description is None else cursor.fetchone()[0]


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(settings={**QUICK, "work_mem": "5MB"}) as server:
        yield server


@pytest.fixture
def valkey() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(settings={"databases": "64"}) as server:
        yield server


@contextmanager
def enterable_folder() -> Iterator[Path]:
    """A folder that another user can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-tests-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def place() -> Iterator[Path]:
    with enterable_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """The data folder of a PostgreSQL that ran before."""
    with enterable_folder() as folder:
        with EmbeddedPostgres(folder, settings=QUICK):
            pass
        yield folder


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_postgres_survives_restart_and_crash_at_the_same_address(postgres: EmbeddedPostgres) -> None:
    url, first = postgres.url, postgres.pid
    assert first is not None
    ask(url, "CREATE TABLE kept AS SELECT 1 AS number")
    postgres.restart()
    second = postgres.pid
    assert second is not None
    assert second != first
    assert not is_alive(first)
    assert ask(url, "SELECT number FROM kept") == 1
    postgres.kill()
    assert postgres.pid is None
    assert not is_alive(second)
    with pytest.raises(psycopg2.OperationalError):
        ask(url, "SELECT 1")
    postgres.start()
    assert postgres.url == url
    assert ask(url, "SELECT number FROM kept") == 1


def test_postgres_stops_with_a_client_connected(postgres: EmbeddedPostgres) -> None:
    with closing(psycopg2.connect(postgres.url)):
        postgres.stop()
        assert postgres.pid is None
    postgres.start()


def test_postgres_is_set_up_as_asked(postgres: EmbeddedPostgres) -> None:
    assert ask(postgres.url, "SHOW work_mem") == "5MB"
    assert ask(postgres.url, "SHOW server_encoding") == "UTF8"
    assert ask(postgres.url, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(postgres.url, "SELECT current_database()") == "jobqueue"


def test_postgres_asks_for_the_password(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        ask(postgres.url.replace("//jobqueue:", "//jobqueue:x"), "SELECT 1")


def test_databases_are_made_with_any_name_but_only_once(postgres: EmbeddedPostgres) -> None:
    url = postgres.create_database("two-words and\"more'")
    assert ask(url, "SELECT current_database()") == "two-words and\"more'"
    with pytest.raises(EmbeddedServerError, match="exists already; choose another name"):
        postgres.create_database("two-words and\"more'")


def test_two_postgres_run_side_by_side(postgres: EmbeddedPostgres, postgres_url: str) -> None:
    assert postgres.url != postgres_url
    assert ask(postgres.url, "SELECT system_identifier FROM pg_control_system()") != ask(
        postgres_url, "SELECT system_identifier FROM pg_control_system()"
    )


def test_durable_by_default_and_kept_between_runs(place: Path) -> None:
    folder = place / "new" / "data"
    with EmbeddedPostgres(folder) as server:
        assert [ask(server.url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == [
            "on"
        ] * 3
        ask(server.url, "CREATE TABLE kept AS SELECT 2 AS number")
        password = server.url.partition("@")[0]
        with pytest.raises(EmbeddedServerError, match=f"in use by process {os.getpid()}; stop that one first or"):
            EmbeddedPostgres(folder).__enter__()
        pid = server.pid
        assert pid is not None
    assert not is_alive(pid)
    assert (folder / "postgres.password").stat().st_mode & 0o777 == 0o600
    with EmbeddedPostgres(folder) as server:
        assert ask(server.url, "SELECT number FROM kept") == 2
        assert server.url.partition("@")[0] == password
    (folder / "postgres.password").unlink()
    with pytest.raises(EmbeddedServerError, match=r"cannot be read .* put it back or choose another"):
        EmbeddedPostgres(folder).__enter__()


def test_an_interrupted_set_up_is_begun_anew(place: Path) -> None:
    half_done = place / "postgres.unfinished"
    half_done.mkdir()
    (half_done / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(place, settings=QUICK) as server:
        assert ask(server.url, "SELECT 1") == 1
    assert not half_done.exists()


def test_a_temporary_folder_goes_with_its_server(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with EmbeddedValkey() as server:
        assert server.log_path.is_relative_to(place)
        assert server.log_path.exists()
    assert list(place.iterdir()) == []
    with pytest.raises(EmbeddedServerError, match="Bad directive"):
        EmbeddedValkey(settings={"no-such-setting": "1"}).__enter__()
    assert list(place.iterdir()) == []


def test_a_wrong_setting_is_quoted_from_the_log(cluster: Path) -> None:
    with pytest.raises(EmbeddedServerError) as caught:
        EmbeddedPostgres(cluster, settings={**QUICK, "work_mem": "nonsense"}).__enter__()
    assert caught.value.message.startswith("PostgreSQL ended with code 1 while starting; its log ends: ")
    assert 'invalid value for parameter "work_mem"' in caught.value.message
    with EmbeddedPostgres(cluster, settings=QUICK) as server:
        assert ask(server.url, "SELECT 1") == 1


def start_postgres(cluster: Path, port: int | None) -> EmbeddedPostgres:
    return EmbeddedPostgres(cluster, port=port, settings=QUICK)


def start_valkey(_cluster: Path, port: int | None) -> EmbeddedValkey:
    return EmbeddedValkey(port=port)


BOTH = pytest.mark.parametrize(
    ("make", "variable"), [(start_postgres, "DATABASE_URL"), (start_valkey, "REDIS_URL")], ids=["postgres", "valkey"]
)
Make = Callable[[Path, int | None], EmbeddedPostgres | EmbeddedValkey]


@BOTH
def test_a_given_port_that_is_taken_is_named(make: Make, variable: str, cluster: Path, taken_port: int) -> None:
    sentence = (
        f"^port {taken_port} on 127.0.0.1 is taken by another program; .* or set {variable} to a running server.$"
    )
    with pytest.raises(EmbeddedServerError, match=sentence):
        make(cluster, taken_port).__enter__()


@BOTH
def test_a_port_lost_between_choice_and_start_is_replaced(
    make: Make, variable: str, cluster: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = iter([taken_port, taken_port])
    monkeypatch.setattr(lifecycle, "pick_free_port", lambda: next(choices, None) or pick_free_port())
    with make(cluster, None) as running:
        assert next(choices, None) is None
        assert running.port != taken_port
        assert running.pid is not None


def test_valkey_starts_stops_and_forgets(valkey: EmbeddedValkey) -> None:
    url = valkey.url
    with redis.Redis.from_url(url) as client:
        assert client.config_get("databases") == {"databases": "64"}
        assert client.config_get("save") == {"save": ""}
        client.set("key", "value")
    for bring_down in (valkey.stop, valkey.kill):
        pid = valkey.pid
        assert pid is not None
        bring_down()
        assert valkey.pid is None
        assert not is_alive(pid)
        valkey.start()
        assert valkey.url == url
        with redis.Redis.from_url(url) as client:
            assert client.get("key") is None
            client.set("key", "value")


def test_valkey_asks_for_the_password(valkey: EmbeddedValkey) -> None:
    at_once = Retry(NoBackoff(), 0)
    with redis.Redis(port=valkey.port, retry=at_once) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    assert valkey.pid is not None
    assert (
        valkey.url.split("@")[0].removeprefix("redis://:").encode()
        not in Path(f"/proc/{valkey.pid}/cmdline").read_bytes()
    )


def test_valkey_keeps_its_data_over_a_restart_when_told_to() -> None:
    with EmbeddedValkey(settings={"appendonly": "yes"}) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "value")
        server.restart()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("key") == b"value"


def test_outside_of_the_with_block_the_server_says_so() -> None:
    with pytest.raises(EmbeddedServerError, match="has not been started; use it in a with statement"):
        _ = EmbeddedPostgres().url
