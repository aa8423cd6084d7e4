"""The commands that act on jobs: what they print for people and for programs, and every exit code."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from jobqueue import ExtractionJob, JobQueueManager, Settings
from jobqueue.cli import main
from jobqueue.cli.exit_codes import EXIT_CODES
from tests.eventually import eventually
from tests.image_server import ImageServer
from tests.integration.jobs import claimed, completed, count, current, fail, failed, queued, some_hash
from tests.processes import REPOSITORY, Processes
from tests.scripted_extractor import RESULT

URL = "https://pictures.example/menu.png"
NOBODY = "00000000-0000-4000-8000-000000000000"
# An escape sequence, a C1 control, a bidirectional override and rich's markup.
HOSTILE = "\x1b[2J\x9b31m\u202e[red]Fish[/red]\r\nand chips\x07"
COMMANDS = ["submit", "status", "watch", "list", "retry", "cancel", "quota", "history"]


@dataclass(frozen=True)
class CommandLine:
    environment: dict[str, str]

    def __call__(self, *arguments: object, **environment: str) -> Result:
        result = CliRunner().invoke(main, [str(one) for one in arguments], env={**self.environment, **environment})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture
def run(settings: Settings, user_id: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)  # no .env
    return CommandLine(
        {
            "DATABASE_URL": settings.required_database_url,
            "REDIS_URL": settings.required_redis_url,
            "JOBQUEUE_PRIVATE_IMAGE_HOSTS": "127.0.0.1",
            "JOBQUEUE_USER": str(user_id),
        }
    )


def error_of(result: Result) -> str:
    """The one sentence on stderr."""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").strip()


def test_submit_prints_the_job_id_and_nothing_else(run: CommandLine, manager: JobQueueManager, user_id: UUID) -> None:
    result = run("submit", URL, "--hash", "ab" * 32)
    job = current(manager, UUID(result.stdout.strip()))
    assert (result.exit_code, result.stderr) == (0, "")
    assert (job.user_id, job.image_url, job.image_hash) == (user_id, URL, "ab" * 32)
    assert run("submit", URL, "--hash", "ab" * 32).stdout == result.stdout
    assert run("submit", URL, "--hash", "ab" * 32, "--force").stdout != result.stdout
    assert run("submit", URL, "--hash", "ab" * 32, "--schema-version=stage2").stdout != result.stdout
    assert run("submit", URL, "--hash", "ab" * 32, "--prompt-version=v2").stdout != result.stdout


def test_submit_fetches_and_hashes_pictures(
    run: CommandLine, manager: JobQueueManager, image_server: ImageServer
) -> None:
    result = run("submit", image_server.url("/menu.png"), image_server.url("/menu.jpg"))
    ids = result.stdout.split()
    assert result.exit_code == 0
    assert [current(manager, UUID(one)).image_hash for one in ids] == [
        image_server.sha256("/menu.png"),
        image_server.sha256("/menu.jpg"),
    ]


def test_the_option_wins_over_the_environment(run: CommandLine, manager: JobQueueManager, other_user_id: UUID) -> None:
    result = run("submit", URL, "--hash", some_hash(), "--user", other_user_id)
    assert current(manager, UUID(result.stdout.strip())).user_id == other_user_id


def test_each_of_several_submissions_succeeds_or_fails_on_its_own(run: CommandLine, image_server: ImageServer) -> None:
    good, missing = image_server.url(), image_server.url("/nothing.png")
    people = run("submit", "ftp://x", good, missing)
    assert people.exit_code == 2  # the first failure decides
    assert len(people.stdout.split()) == 1
    assert [line.split(": ")[:2] for line in people.stderr.splitlines()] == [["Error", "ftp://x"], ["Error", missing]]
    machines = run("submit", missing, good, "--json")
    assert machines.exit_code == 1
    document = json.loads(machines.stdout)
    assert (document["success"], document["code"]) == (False, "IMAGE_REJECTED")
    assert document["submissions"][0]["code"] == "IMAGE_REJECTED"
    assert document["submissions"][1] == {
        "imageUrl": good,
        "jobId": people.stdout.strip(),
        "cached": False,
        "status": "queued",
    }


def test_status_shows_the_menu(run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = completed(manager, engine, user_id)
    people = run("status", job.id)
    assert people.exit_code == 0
    assert [line for line in people.stdout.splitlines() if "Miso" in line and "4.50 EUR" in line and "Soups" in line]
    document = run.json("status", job.id)
    assert document["job"]["id"] == document["jobId"] == str(job.id)
    assert (document["success"], document["job"]["status"], document["job"]["result"]) == (True, "completed", RESULT)
    assert document["job"]["createdAt"].endswith("Z")


def test_list_pages_and_filters(run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    jobs = [queued(manager, user_id) for _ in range(3)]
    lost = failed(manager, engine, user_id)
    newest_first = [str(job.id) for job in reversed([*jobs, lost])]
    assert [job["id"] for job in run.json("list")["jobs"]] == newest_first
    assert [job["id"] for job in run.json("list", "--limit", 2)["jobs"]] == newest_first[:2]
    assert [job["id"] for job in run.json("list", "--before", newest_first[1])["jobs"]] == newest_first[2:]
    assert [job["id"] for job in run.json("list", "--status", "failed")["jobs"]] == [str(lost.id)]
    table = run("list").stdout
    assert [line.split()[0] for line in table.splitlines()[3:] if line.strip()] == newest_first
    assert "No menu." in table


def test_retry_and_cancel(run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    lost = failed(manager, engine, user_id)
    again = UUID(run("retry", lost.id).stdout.strip())
    assert current(manager, again).retry_of == lost.id
    assert run.json("retry", lost.id)["jobId"] == str(again)
    assert run("cancel", again).stdout == "Cancelled.\n"
    assert current(manager, again).error_code == "CANCELLED"
    busy = queued(manager, user_id)
    claimed(engine, busy.id)
    assert run("cancel", busy.id).stdout == "The worker was told; it stops within seconds.\n"
    document = run.json("cancel", busy.id)
    assert (document["success"], document["job"]["status"]) == (True, "processing")


def test_quota(run: CommandLine, manager: JobQueueManager, user_on_plan: Callable[..., UUID]) -> None:
    user = user_on_plan("free", {"ocr_jobs": 1, "hourly_uploads": -1})
    queued(manager, user)
    document = run.json("quota", "--user", user)
    assert (document["allowed"], document["current"], document["limit"]) == (False, 1, 1)
    assert document["reason"] == "The monthly quota of 1 extractions is used up."
    assert document["resetsAt"].endswith("-01T00:00:00Z")
    assert document["rateLimit"] | {"resetAt": None} == {"allowed": True, "current": 1, "limit": -1, "resetAt": None}
    table = run("quota", "--user", user).stdout
    assert "unlimited" in table
    assert document["resetsAt"][:10] in table


def test_history(run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = failed(manager, engine, user_id)
    entries = run.json("history", job.id)["history"]
    assert [(one["seq"], one["status"], one["error"]) for one in entries] == [
        (1, "queued", None),
        (2, "processing", None),
        (3, "failed", "No menu."),
    ]
    assert entries[2]["errorCode"] == "NO_MENU_FOUND"
    table = run("history", job.id).stdout
    assert [line.split()[3] for line in table.splitlines()[3:] if line.strip()] == ["queued", "processing", "failed"]


# Exit codes


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["submit", "not an address", "--hash", "ab" * 32],
        ["submit", URL, "--hash", "xyz"],
        ["submit", URL, URL + "2", "--hash", "ab" * 32],
        ["submit", URL, "--hash", "ab" * 32, "--user", "me"],
        ["submit", URL, "--hash", "ab" * 32, "--schema-version", "stage9"],
        ["submit", URL, "--hash", "ab" * 32, "--prompt-version", ""],
        ["submit", URL + "x" * 3000, "--hash", "ab" * 32],
        ["submit", URL, "--wait", "--timeout", "-1"],
        ["status", "1234"],
        ["status", "\x00"],
        ["status"],
        ["watch", "1234"],
        ["watch", "--timeout", "1"],
        ["watch", NOBODY, "--after", "1"],
        ["list", "--limit", "0"],
        ["list", "--status", "lost"],
        ["list", "--before", "yesterday"],
        ["retry", "1234"],
        ["cancel", "1234"],
        ["history", "1234"],
        ["quota", "--nonsense"],
    ],
)
def test_wrong_input_is_2(run: CommandLine, engine: Engine, arguments: list[str]) -> None:
    people = run(*arguments)
    assert (people.exit_code, people.stdout) == (2, "")
    assert "Error: " in people.stderr
    machines = run(*arguments, "--json")
    assert (machines.exit_code, machines.stderr) == (2, "")
    assert json.loads(machines.stdout)["code"] == "INVALID_INPUT"
    assert count(engine) == 0


@pytest.mark.parametrize("command", ["submit", "watch", "list", "retry", "cancel", "quota"])
def test_a_missing_user_is_2(run: CommandLine, command: str) -> None:
    arguments = [] if command in ("list", "quota", "watch") else [URL]
    result = run(command, *arguments, JOBQUEUE_USER="")
    assert result.exit_code == 2
    assert "--user" in result.stderr


def test_a_wrong_setting_is_2(run: CommandLine) -> None:
    assert error_of(run("list", DATABASE_URL="mysql://h/d")).startswith("DATABASE_URL is wrong: ")
    assert run("list", DATABASE_URL="mysql://h/d").exit_code == 2


def test_waiting_without_redis_url_is_refused_before_anything_is_queued(
    run: CommandLine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.environment.pop("REDIS_URL")
    result = run("submit", URL, "--hash", some_hash(), "--wait")
    assert result.exit_code == 2
    assert error_of(result).startswith("REDIS_URL is not set")
    assert count(engine) == 0


def test_quota_and_hourly_limit_are_3(run: CommandLine, user_on_plan: Callable[..., UUID]) -> None:
    month = user_on_plan("free", {"ocr_jobs": 0})
    hour = user_on_plan("free", {"ocr_jobs": -1, "hourly_uploads": 1})
    assert run("submit", URL, "--hash", some_hash(), "--user", hour).exit_code == 0
    for user, code in ((month, "QUOTA_EXCEEDED"), (hour, "RATE_LIMIT_EXCEEDED")):
        result = run("submit", URL, "--hash", some_hash(), "--user", user)
        assert (result.exit_code, result.stdout) == (3, "")
        assert error_of(result)
        machines = run("submit", URL, "--hash", some_hash(), "--user", user, "--json")
        assert machines.exit_code == 3
        document = json.loads(machines.stdout)
        assert document["code"] == code
        assert ("resetAt" in document) == (code == "RATE_LIMIT_EXCEEDED")


@pytest.mark.parametrize("command", ["status", "watch", "retry", "cancel", "history"])
def test_an_unknown_job_and_somebody_elses_are_4(
    run: CommandLine, manager: JobQueueManager, engine: Engine, other_user_id: UUID, command: str
) -> None:
    for job_id in (uuid4(), failed(manager, engine, other_user_id).id):
        result = run(command, job_id)
        assert (result.exit_code, result.stdout) == (4, "")
        assert error_of(result) == "There is no such job."
        machines = run(command, job_id, "--json")
        assert (machines.exit_code, machines.stderr) == (4, "")
        assert json.loads(machines.stdout) == {"error": "There is no such job.", "code": "JOB_NOT_FOUND"}


@pytest.mark.parametrize("command", ["status", "history"])
def test_an_operator_sees_anybodys_job(
    run: CommandLine, manager: JobQueueManager, other_user_id: UUID, command: str
) -> None:
    assert run(command, queued(manager, other_user_id).id, JOBQUEUE_USER="").exit_code == 0


@pytest.mark.parametrize("arguments", [["submit", URL, "--hash", "ab" * 32], ["quota"]])
def test_an_unknown_user_is_4(run: CommandLine, arguments: list[str]) -> None:
    result = run(*arguments, "--user", NOBODY)
    assert result.exit_code == 4
    assert error_of(result) == "There is no user with this id."


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_that_does_not_answer_is_5(run: CommandLine, command: str) -> None:
    arguments = {"submit": [URL, "--hash", "ab" * 32], "list": [], "quota": []}.get(command, [NOBODY])
    secret = "postgresql://me:hidden@127.0.0.1:1/menus"
    result = run(command, *arguments, DATABASE_URL=secret)
    assert (result.exit_code, result.stdout) == (5, "")
    assert "Nothing answers" in error_of(result)
    assert "hidden" not in result.output


def test_a_job_that_is_not_finished_in_time_is_6(run: CommandLine, manager: JobQueueManager, user_id: UUID) -> None:
    job = queued(manager, user_id)
    watched = run("watch", job.id, "--timeout", "0.1")
    assert watched.exit_code == 6
    assert "queued" in watched.stdout
    assert error_of(watched) == "The job is still queued; it goes on, ask again later."
    waited = run("submit", URL, "--hash", job.image_hash, "--wait", "--timeout", "0.1", "--json")
    assert waited.exit_code == 6
    document = json.loads(waited.stdout)
    assert (document["code"], document["submissions"][0]["jobId"]) == ("POLLING_TIMEOUT", str(job.id))
    assert run("submit", URL, "--hash", job.image_hash, "--wait", "--timeout", "0.1").exit_code == 6


def test_a_refusal_is_1(run: CommandLine, manager: JobQueueManager, user_id: UUID, engine: Engine) -> None:
    job = completed(manager, engine, user_id)
    for command in ("retry", "cancel"):
        result = run(command, job.id)
        assert (result.exit_code, result.stdout) == (1, "")
        assert error_of(result).startswith("The job is ")
        assert run.json(command, job.id)["code"] == "INVALID_STATUS"


def test_help_and_documentation_give_every_exit_code(run: CommandLine) -> None:
    table = (REPOSITORY / "docs" / "cli.md").read_text()
    for command in COMMANDS:
        shown = " ".join(run(command, "--help").stdout.split())
        for code in (0, 1, *EXIT_CODES.values(), 130):
            assert f" {code} " in shown, f"{command} --help does not name {code}"
            assert f"| {code} |" in table
        assert f"`jobqueue {command}" in table


# With a worker


def test_wait_and_watch_until_the_end(run: CommandLine, processes: Processes, image_server: ImageServer) -> None:
    with processes.notifier(), processes.worker():
        good = run("submit", image_server.url(), "--wait")
        bad = image_server.url(script="permanent")
        lost = run("submit", bad, "--force", "--wait", "--json")
    assert good.exit_code == 0, good.output
    job_id = good.stdout.split()[0]
    assert "completed" in good.stdout
    document = json.loads(lost.stdout)
    assert (lost.exit_code, document["submissions"][0]["job"]["status"]) == (1, "failed")
    watched = run("watch", job_id)
    assert watched.exit_code == 0
    assert [line.split()[1] for line in watched.stdout.splitlines()] == ["queued", "processing", "completed"]
    failure = run("watch", document["submissions"][0]["jobId"], "--json")
    assert failure.exit_code == 1
    assert [json.loads(line)["status"] for line in failure.stdout.splitlines()] == ["queued", "processing", "failed"]


def test_watch_prints_an_object_a_line_as_things_happen_and_ends_on_ctrl_c(
    run: CommandLine, processes: Processes, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    first = queued(manager, user_id)
    command = [sys.executable, "-c", "from jobqueue.cli import main; main()", "watch", "--json", "--after", "0"]
    with (
        processes.notifier(),
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **run.environment, "PYTHONPATH": str(REPOSITORY)},
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        seen = json.loads(process.stdout.readline())
        assert (seen["jobId"], seen["status"], seen["seq"], seen["userId"]) == (
            str(first.id),
            "queued",
            1,
            str(user_id),
        )
        fail(engine, first.id, claimed(engine, first.id).attempt)
        later = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [one["status"] for one in later] == ["processing", "failed"]
        process.send_signal(signal.SIGINT)
        assert (process.wait(10), process.stdout.read(), process.stderr.read()) == (130, "", "")
    resumed = CommandLine({**run.environment})
    assert seen["cursor"] < later[0]["cursor"] < later[1]["cursor"]
    assert resumed("watch", first.id).exit_code == 1


def test_watch_needs_no_notifier(run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = failed(manager, engine, user_id)
    result = run("watch", job.id, REDIS_URL="redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    assert "No menu." in result.stdout


# Strangers' text


def hostile_job(manager: JobQueueManager, engine: Engine, user_id: UUID) -> ExtractionJob:
    """Completed; its menu and its address carry what a terminal or rich would obey."""
    item = {"name": HOSTILE, "price": 1, "confidence": 1}
    menu = {"categories": [{"name": HOSTILE, "items": [item], "confidence": 1}]}
    return completed(manager, engine, user_id, result={"menu": menu, "currency": "EUR"})


def test_no_text_of_a_stranger_reaches_the_terminal_as_a_command(
    run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    done = hostile_job(manager, engine, user_id)
    lost = queued(manager, user_id)
    fail(engine, lost.id, claimed(engine, lost.id, worker=HOSTILE).attempt, HOSTILE)
    outputs = {
        "status": run("status", done.id).output,
        "status of a failed job": run("status", lost.id).output,
        "list": run("list").output,
        "history": run("history", lost.id).output,
        "watch": run("watch", lost.id).output,
        "submit": run("submit", f"{URL}?{HOSTILE}", f"{URL}?\x1b[2J", "--user", user_id).output,
    }
    for name, output in outputs.items():
        assert not [char for char in output if not char.isprintable() and char != "\n"], name
    for name in ("status", "status of a failed job", "list", "history", "watch"):
        assert "[red]Fish[/red]" in outputs[name], f"{name} took markup for its own"
    for command in (["list"], ["status", done.id], ["history", lost.id], ["watch", lost.id]):
        raw = run(*command, "--json").stdout
        assert raw.isascii()
        assert "\x1b" not in raw
        assert json.dumps(HOSTILE)[1:-1] in raw  # whole, escaped


def test_a_result_of_the_first_generation_does_not_break_status(
    run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = completed(manager, engine, user_id)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE menu_extraction_jobs DISABLE TRIGGER USER"))
        connection.execute(
            text('UPDATE menu_extraction_jobs SET result = \'{"text": "Soup"}\' WHERE id = :id'), {"id": job.id}
        )
        connection.execute(text("ALTER TABLE menu_extraction_jobs ENABLE TRIGGER USER"))
    result = run("status", job.id)
    assert result.exit_code == 0
    assert "older format" in result.stdout
    assert run.json("status", job.id)["job"]["result"] == {"text": "Soup"}


def test_a_hash_is_taken_at_its_word(run: CommandLine, image_server: ImageServer) -> None:
    url = image_server.url()
    assert run("submit", url, "--hash", hashlib.sha256(b"x").hexdigest()).exit_code == 0
    assert image_server.requests(url) == 0


def test_a_real_process_ends_with_the_code(run: CommandLine) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from jobqueue.cli import main; main()", "status", NOBODY, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **run.environment, "PYTHONPATH": str(REPOSITORY)},
    )
    assert (ended.returncode, ended.stderr) == (4, "")
    assert json.loads(ended.stdout)["code"] == "JOB_NOT_FOUND"


def test_watch_follows_a_job_that_is_under_way(
    run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    with subprocess.Popen(
        [sys.executable, "-c", "from jobqueue.cli import main; main()", "watch", str(job.id)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **run.environment, "PYTHONPATH": str(REPOSITORY)},
    ) as process:
        assert process.stdout is not None
        assert "queued" in process.stdout.readline()
        fail(engine, job.id, claimed(engine, job.id).attempt)
        eventually(lambda: process.poll() is not None, within=15, what="watch has ended")
        assert [line.split()[1] for line in process.stdout.read().splitlines()] == ["processing", "failed"]
        assert process.returncode == 1
