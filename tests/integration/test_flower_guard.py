"""``celery flower`` as a real process: where it listens, whom it lets in, and what it shows."""

from __future__ import annotations

import base64
import http.client
import itertools
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from sqlalchemy import make_url

from jobqueue.embedded import ManagedProcess
from tests.eventually import eventually

BROKER_USER = f"flower-guard-{uuid4().hex}"  # of this test worker only
BROKER_PASSWORD = "broker-password-that-nobody-may-see"
FLOWER_PASSWORD = "open:sesame"
JOB_ID = "0b9f6d52-6a55-4d0c-9d3c-2f4f0a0f7c11"
TIMEOUT = 30.0
LOG_NUMBERS = itertools.count(1)
PAGES = ["/", "/workers?json=1", "/worker/{worker}", "/tasks", "/task/{task}", "/broker"]
API = [
    "/api/workers?refresh=1",
    "/api/workers?workername={worker}",
    "/api/tasks",
    "/api/task/types",
    "/api/task/info/{task}",
    "/api/queues/length",
]

PROBE_APP = """
from celery import Celery
from worker.flower_guard import install_flower_guard

app = Celery("probe", set_as_current=False)
app.config_from_object("worker.celery_config")
install_flower_guard(app)

@app.task(name="probe.echo")
def echo(job_id):
    return None

if __name__ == "__main__":
    import sys
    echo.apply_async([sys.argv[1]], task_id=sys.argv[1])
"""


@pytest.fixture(scope="module")
def broker_url(valkey_url: str) -> Iterator[str]:
    """The shared Valkey, entered with a user name and a password that could leak."""
    with redis.Redis.from_url(valkey_url) as admin:
        admin.execute_command("ACL", "SETUSER", BROKER_USER, "on", f">{BROKER_PASSWORD}", "~*", "&*", "+@all")
        url = make_url(valkey_url).set(username=BROKER_USER, password=BROKER_PASSWORD)
        yield url.render_as_string(hide_password=False)
        admin.execute_command("ACL", "DELUSER", BROKER_USER)


@pytest.fixture(scope="module")
def environment(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of processes that run beside ``probe.py``, a small Celery app, in the directory ``PWD``."""
    directory = tmp_path_factory.mktemp("app")
    (directory / "probe.py").write_text(PROBE_APP)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWER_", "JOBQUEUE_"))}
    return inherited | {"REDIS_URL": broker_url, "PWD": str(directory)}


@contextmanager
def running(environment: dict[str, str], *arguments: str, ready: str) -> Iterator[tuple[str, Path]]:
    """``celery -A probe ...`` until the block ends; gives what ``ready`` captured in its log, and the log's path."""
    directory = Path(environment["PWD"])
    log = directory / f"{next(LOG_NUMBERS)}.log"
    command = [sys.executable, "-m", "celery", "-A", "probe", *arguments]
    with ManagedProcess(command, log_path=log, env=environment, cwd=directory) as process:
        eventually(lambda: process.poll() is not None or re.search(ready, log.read_text()), within=TIMEOUT, what=ready)
        found = re.search(ready, log.read_text())
        assert found is not None, log.read_text()
        yield found.group(1), log


@contextmanager
def flower(environment: dict[str, str], *options: str, **variables: str) -> Iterator[tuple[int, Path]]:
    with running(environment | variables, "flower", "--port=0", *options, ready=r"Visit me at https?://\S+:(\d+)") as (
        port,
        log,
    ):
        yield int(port), log


def fetch(port: int, path: str, *, password: str | None = None) -> tuple[int, str]:
    """Status and body of one page, signed in as the operator when a password is given."""
    headers = {}
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"operator:{password}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    with closing(connection):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def refusal(environment: dict[str, str], *options: str, app: str = "probe", **variables: str) -> str:
    """What a Flower that does not start says; fails when it starts, succeeds, or says more than one line."""
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "-A", app, "flower", "--port=0", *options],
        env=environment | variables,
        cwd=environment["PWD"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    (sentence,) = ended.stderr.splitlines()
    assert ended.stdout == ""
    return sentence


def listens(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.settimeout(5)
        return client.connect_ex((address, port)) == 0


def test_by_default_only_this_machine_reaches_flower(environment: dict[str, str]) -> None:
    with flower(environment) as (port, _):
        assert fetch(port, "/")[0] == 200
        # A socket on all interfaces would answer on every loopback address, this one only on its own.
        assert not listens("127.0.0.2", port)
        assert not listens("::1", port)


def test_without_a_password_the_api_stays_shut(environment: dict[str, str]) -> None:
    with flower(environment, JOBQUEUE_FLOWER_PASSWORD="") as (port, _):
        assert fetch(port, "/api/workers")[0] == 401


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (["--address=0.0.0.0"], {}),
        ([], {"FLOWER_ADDRESS": "::"}),
        (["--address=0.0.0.0"], {"JOBQUEUE_FLOWER_PASSWORD": ""}),
        (["--address=0.0.0.0"], {"FLOWER_BASIC_AUTH": "operator:"}),
        (["--address=no-such-host.invalid"], {}),
    ],
)
def test_a_public_address_without_a_password_is_refused(
    environment: dict[str, str], options: list[str], variables: dict[str, str]
) -> None:
    sentence = refusal(environment, *options, **variables)
    assert "JOBQUEUE_FLOWER_PASSWORD" in sentence
    assert sentence.startswith("Flower would let anyone who reaches ")


def test_the_projects_own_app_is_guarded(environment: dict[str, str]) -> None:
    assert "JOBQUEUE_FLOWER_PASSWORD" in refusal(environment, "--address=0.0.0.0", app="worker")


def test_a_password_that_nobody_could_type_is_refused(environment: dict[str, str]) -> None:
    assert "ASCII" in refusal(environment, JOBQUEUE_FLOWER_PASSWORD="pässword")


def test_a_wrong_setting_is_one_line(environment: dict[str, str]) -> None:
    assert "JOBQUEUE_LEASE_SECONDS is wrong" in refusal(environment, JOBQUEUE_LEASE_SECONDS="soon")


def test_flowers_own_sign_in_options_come_first(environment: dict[str, str]) -> None:
    variables = {"FLOWER_BASIC_AUTH": "operator:their own", "JOBQUEUE_FLOWER_PASSWORD": FLOWER_PASSWORD}
    with flower(environment, "--address=0.0.0.0", **variables) as (port, _):
        assert fetch(port, "/", password=FLOWER_PASSWORD)[0] == 401
        assert fetch(port, "/", password="their own")[0] == 200


def test_a_password_in_flowers_configuration_file_counts(environment: dict[str, str]) -> None:
    configuration = Path(environment["PWD"]) / "guarded.py"
    configuration.write_text("address = '0.0.0.0'\nbasic_auth = ['operator:from a file']\n")
    with flower(environment, f"--conf={configuration}") as (port, _):
        assert listens("127.0.0.2", port)
        assert fetch(port, "/", password="from a file")[0] == 200


def test_with_a_password_every_page_asks_for_it_and_none_shows_the_brokers(environment: dict[str, str]) -> None:
    with (
        running(environment, "worker", "--pool=solo", "--loglevel=INFO", ready=r"(\S+@\S+) ready\.") as (worker, _),
        flower(environment, "--address=0.0.0.0", JOBQUEUE_FLOWER_PASSWORD=FLOWER_PASSWORD) as (port, log),
    ):
        subprocess.run([sys.executable, "probe.py", JOB_ID], env=environment, cwd=environment["PWD"], check=True)
        eventually(
            lambda: "SUCCESS" in fetch(port, f"/api/task/info/{JOB_ID}", password=FLOWER_PASSWORD)[1],
            what="the end of the task in Flower",
        )
        paths = [path.format(worker=worker, task=JOB_ID) for path in [*PAGES, *API, "/metrics"]]
        for path in paths:
            assert fetch(port, path)[0] == 401, path
            assert fetch(port, path, password="wrong")[0] == 401, path
        shown = {path: fetch(port, path, password=FLOWER_PASSWORD) for path in paths}
        assert {path: status for path, (status, _) in shown.items() if status != 200} == {}
        assert [path for path, (_, body) in shown.items() if BROKER_PASSWORD in body] == []
        assert "broker_url" in shown["/api/workers?refresh=1"][1]
        assert JOB_ID in shown["/api/tasks"][1]
        assert fetch(port, "/healthcheck") == (200, "OK")
        assert BROKER_PASSWORD not in log.read_text()
        assert FLOWER_PASSWORD not in log.read_text()
