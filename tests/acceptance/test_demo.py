"""``jobqueue demo`` and ``jobqueue up`` as a newcomer runs them: real processes, and none left afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from tests.image_server import ImageServer
from tests.process_tree import eventually, processes_about

JOBQUEUE = Path(sys.executable).with_name("jobqueue")
MENUS = Path(__file__).parent.parent.parent / "jobqueue" / "demo" / "menus"


class Command:
    """Runs ``jobqueue`` with a mark in the environment by which all its processes can be found again."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.mark = uuid4().hex
        self._environment = {**os.environ, **environment, "COLUMNS": "160", "MENU_JOBQUEUE_TEST_MARK": self.mark}
        self._folder = folder

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [JOBQUEUE, *arguments],
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    @contextmanager
    def started(self, *arguments: str, until: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """The process and what it has printed once the line that holds ``until`` has come."""
        with subprocess.Popen(
            [JOBQUEUE, *arguments], env=self._environment, cwd=self._folder, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            printed = ""
            for line in process.stdout:
                printed += line
                if until in line:
                    break
            try:
                yield process, printed
            finally:
                process.terminate()
                process.stdout.read()

    def left_over(self) -> dict[int, str]:
        return processes_about(self.mark)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command({}, tmp_path)


def test_demo_extracts_the_sample_and_leaves_nothing_behind(command: Command) -> None:
    done = command.run("demo")

    assert done.returncode == 0, done.stdout + done.stderr
    truth = json.loads((MENUS / "two_columns.json").read_text())
    for category in truth["menu"]["categories"]:
        for item in category["items"]:
            row = rf"{re.escape(item['name'])}\s*│\s*{item['price']:.2f} {truth['currency']}\s*│\s*[01]\.\d\d"
            assert re.search(row, done.stdout), f"{item['name']} is missing in {done.stdout}"
    heard = re.findall(r"s  (queued|processing|completed|failed) ", done.stdout)
    assert heard == ["queued", "processing", "completed"]
    for stage in ("reading", "recognising", "structuring"):
        assert re.search(rf"^  {stage} .*100 %", done.stdout, re.MULTILINE), stage
        assert re.search(rf"^  {stage} +\d+\.\d\d s$", done.stdout, re.MULTILINE), stage
    stored = done.stdout[done.stdout.index("\n{") : done.stdout.index("\n}") + 2]
    assert json.loads(stored)["currency"] == truth["currency"]
    assert done.stderr == ""
    assert command.left_over() == {}


def test_demo_on_a_picture_of_ones_own(command: Command) -> None:
    done = command.run("demo", MENUS / "one_column.jpg")

    assert done.returncode == 0, done.stdout + done.stderr
    first = json.loads((MENUS / "one_column.json").read_text())["menu"]["categories"][0]["items"][0]
    assert first["name"] in done.stdout


def test_a_pdf_is_refused_before_anything_starts(command: Command, tmp_path: Path) -> None:
    (tmp_path / "menu.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")

    done = command.run("demo", "menu.pdf")

    assert done.returncode == 1
    assert "PDF" in done.stdout
    assert "JPEG, PNG or WebP" in done.stdout
    assert "Running." not in done.stdout
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_one_sentence(command: Command) -> None:
    done = command.run("demo", "nowhere.jpg")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: There is no file nowhere.jpg; give the path or http(s) address of a picture.\n"


def test_a_picture_that_is_not_there(image_server: ImageServer, tmp_path: Path) -> None:
    command = Command({"JOBQUEUE_PRIVATE_IMAGE_HOSTS": "127.0.0.1"}, tmp_path)

    done = command.run("demo", image_server.url("/nothing.png"))

    assert done.returncode == 1
    assert "404" in done.stdout


def test_a_private_address_is_refused(command: Command, image_server: ImageServer) -> None:
    done = command.run("demo", image_server.url())

    assert done.returncode == 1
    assert "refused" in done.stdout


class EndlessHandler(BaseHTTPRequestHandler):
    sent = 0

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(300_000_000))
        self.end_headers()
        try:
            for _ in range(300):
                self.wfile.write(b"\xff\xd8\xff\xe0" + bytes(999_996))
                type(self).sent += 1_000_000
        except OSError:
            self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """Nothing to print."""


def test_300_megabytes_are_refused_without_being_read(tmp_path: Path) -> None:
    command = Command({"JOBQUEUE_PRIVATE_IMAGE_HOSTS": "127.0.0.1"}, tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), EndlessHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()

        done = command.run("demo", f"http://127.0.0.1:{server.server_port}/menu.jpg")

        server.shutdown()
        thread.join()
    assert done.returncode == 1
    assert "larger than" in done.stdout
    assert EndlessHandler.sent < 60_000_000


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("mysql://somewhere/menus", 2, "DATABASE_URL is wrong: must begin with postgresql:// or postgres://."),
        ("postgresql://me:hidden@127.0.0.1:1/menus", 1, "Nothing answers at the address in DATABASE_URL"),
    ],
)
def test_a_wrong_database_url_is_one_sentence(url: str, code: int, sentence: str, tmp_path: Path) -> None:
    command = Command({"DATABASE_URL": url}, tmp_path)

    done = command.run("demo")

    assert done.returncode == code
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hidden" not in done.stdout + done.stderr
    assert command.left_over() == {}


def test_flower_port_in_use_is_one_sentence(command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = command.run("up", f"--flower-port={port}")

    assert done.returncode == 2
    assert done.stderr == f"Error: Port {port} is in use; choose another with --flower-port.\n"


def test_up_keeps_running_with_a_given_database_until_ctrl_c(database_url: str, tmp_path: Path) -> None:
    command = Command({"DATABASE_URL": database_url}, tmp_path)
    with command.started("up", until="Running.") as (process, printed):
        given = re.search(r"REDIS_URL=(\S+)", printed)
        assert given is not None
        assert database_url in printed
        with redis.Redis.from_url(given[1]) as client:
            assert client.ping()
        assert "http://127.0.0.1:" in printed
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert eventually(lambda: command.left_over() == {})


def test_a_demo_that_is_terminated_stops_everything(database_url: str, tmp_path: Path) -> None:
    command = Command({"DATABASE_URL": database_url}, tmp_path)
    with command.started("demo", until="Submitted job") as (process, _printed):
        process.terminate()
        assert process.wait(30) == 130
    assert eventually(lambda: command.left_over() == {})
