"""Settings: a wrong or missing one is a single line that names the variable, and secrets stay hidden."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobqueue.database import create_database_engine, psycopg2_url
from jobqueue.errors import InvalidInputError
from jobqueue.redis_connection import connect_redis, connect_redis_async
from jobqueue.settings import Settings, load_settings

SECRET = "p4ss-w0rd"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("JOBQUEUE_") or name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def message_for(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInputError) as caught:
        load_settings()
    assert caught.value.details["setting"] == name
    return caught.value.message


def test_everything_but_the_addresses_has_a_default() -> None:
    settings = load_settings()
    assert settings.extractor == "ocr"
    assert settings.private_image_hosts == frozenset()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("DATABASE_URL", value) for value in ("mysql://h/d", "localhost:5432", "postgresql+psycopg2://h/d", "", " ")),
        ("DATABASE_URL", "postgresql://h:port/d"),
        ("JOBQUEUE_NOTIFIER_DATABASE_URL", "http://h/d"),
        ("JOBQUEUE_NOTIFIER_DATABASE_URL", "postgres://h:99999/d"),
        ("REDIS_URL", "redis://h:port/0"),
        ("REDIS_URL", "rediss://:p#ss@h:6379"),
        *(("REDIS_URL", value) for value in ("http://h", "localhost:6379", "")),
        *(("JOBQUEUE_FETCH_TIMEOUT", value) for value in ("0", "-1", "301", "nan", "inf", "soon", "")),
        *(("JOBQUEUE_MAX_IMAGE_BYTES", value) for value in ("0", "-1", "1.5", "20MB")),
        *(("JOBQUEUE_MAX_IMAGE_PIXELS", value) for value in ("0", "-1", "many")),
        *(("JOBQUEUE_LEASE_SECONDS", value) for value in ("0.5", "3601", "nan", "long")),
        *(("JOBQUEUE_SOFT_SHUTDOWN_SECONDS", value) for value in ("0", "3601", "x")),
        *(("JOBQUEUE_TIME_LIMIT", value) for value in ("4", "1801", "2.5", "x")),
        *(("JOBQUEUE_LLM_TIMEOUT", value) for value in ("0", "-1", "1801", "nan", "x")),
        *(("JOBQUEUE_LLM_BASE_URL", value) for value in ("localhost:8000", "ftp://h/v1")),
        *(("JOBQUEUE_HYBRID_THRESHOLD", value) for value in ("-0.1", "1.1", "nan", "high")),
        *(("JOBQUEUE_RETRY_BACKOFF", value) for value in ("0", "601", "nan", "-1", "x")),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    message = message_for(monkeypatch, name, value)
    assert message.startswith(f"{name} is wrong: ")
    assert "\n" not in message
    assert "Value error" not in message


def test_a_wrong_address_does_not_repeat_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SECRET not in message_for(monkeypatch, "DATABASE_URL", f"mysql://u:{SECRET}@h/d")
    monkeypatch.delenv("DATABASE_URL")
    assert SECRET not in message_for(monkeypatch, "REDIS_URL", f"http://:{SECRET}@h")


@pytest.mark.parametrize(
    ("name", "attribute"),
    [("DATABASE_URL", "required_database_url"), ("REDIS_URL", "required_redis_url"), ("REDIS_URL", "broker_url")],
)
def test_a_missing_address_is_one_line_with_an_example(name: str, attribute: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{name} is not set; give it as [a-z]+://[^\n]*$"):
        getattr(load_settings(), attribute)


def test_secrets_are_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{SECRET}@h/d")
    monkeypatch.setenv("JOBQUEUE_NOTIFIER_DATABASE_URL", f"postgresql://u:{SECRET}@h/d")
    monkeypatch.setenv("REDIS_URL", f"redis://:{SECRET}@h/0")
    monkeypatch.setenv("CELERY_BROKER_URL", f"amqp://u:{SECRET}@h//")
    monkeypatch.setenv("JOBQUEUE_FLOWER_PASSWORD", SECRET)
    monkeypatch.setenv("JOBQUEUE_LLM_API_KEY", SECRET)
    settings = load_settings()
    assert SECRET in settings.required_database_url + settings.broker_url  # read before, as a program would
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert SECRET not in repr(create_database_engine(settings.required_database_url))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_plain_address_always_means_psycopg2(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://user:p%40ss@host:5433/db?sslmode=require")
    url = psycopg2_url(load_settings().required_database_url)
    assert url.drivername == "postgresql+psycopg2"
    assert (url.username, url.password, url.host, url.port, url.database) == ("user", "p@ss", "host", 5433, "db")
    assert url.query == {"sslmode": "require"}
    assert create_database_engine(f"{scheme}://host/db").dialect.driver == "psycopg2"


@pytest.mark.parametrize("url", ["postgresql://host:port/db", "", "nonsense", "mysql://h/d"])
def test_a_malformed_address_is_refused_when_it_is_used(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^DATABASE_URL is wrong: "):
        create_database_engine(url)


@pytest.mark.parametrize("url", ["redis://host:port/0", "redis://host/?socket_timeout=soon", "nonsense://host"])
def test_a_malformed_redis_address_is_refused_when_it_is_used(url: str) -> None:
    for connect in (connect_redis, connect_redis_async):
        with pytest.raises(InvalidInputError, match=r"^REDIS_URL is wrong: "):
            connect(url)


def test_the_broker_and_the_notifier_follow_the_main_addresses_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("REDIS_URL", "redis://h/0")
    assert (load_settings().broker_url, load_settings().notifier_url) == ("redis://h/0", "postgresql://h/d")
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://h//")
    monkeypatch.setenv("JOBQUEUE_NOTIFIER_DATABASE_URL", "postgresql://direct/d")
    assert (load_settings().broker_url, load_settings().notifier_url) == ("amqp://h//", "postgresql://direct/d")


def test_an_empty_broker_address_means_none_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    # Compose files pass variables on empty; Celery would silently take an empty one for a local RabbitMQ.
    monkeypatch.setenv("REDIS_URL", "redis://h/0")
    monkeypatch.setenv("CELERY_BROKER_URL", "")
    assert load_settings().broker_url == "redis://h/0"


def test_hosts_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQUEUE_PRIVATE_IMAGE_HOSTS", " 127.0.0.1 ,, Pictures.Internal,")
    assert load_settings().private_image_hosts == {"127.0.0.1", "pictures.internal"}


def test_settings_are_read_from_a_dot_env_file_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("REDIS_URL=redis://file/0\nJOBQUEUE_TIME_LIMIT=60\nUNRELATED=1\n")
    monkeypatch.setenv("JOBQUEUE_TIME_LIMIT", "90")
    settings = load_settings()
    assert (settings.required_redis_url, settings.time_limit) == ("redis://file/0", 90)


def test_settings_may_be_given_by_name() -> None:
    assert load_settings(redis_url="redis://h/1").required_redis_url == "redis://h/1"
    assert Settings(lease_seconds=2.0).lease_seconds == 2.0
    with pytest.raises(InvalidInputError, match="lease_seconds"):
        load_settings(lease_seconds=0)


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().extractor = "llm"  # type: ignore[misc]
