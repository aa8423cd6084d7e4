"""Every exit code of the commands that act on jobs, with its one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from jobqueue import JobQueueManager
from jobqueue.cli.exit_codes import EXIT_CODES
from tests.command_line import COMMANDS, NOBODY, URL, CommandLine, error_of
from tests.integration.jobs import completed, count, failed, queued, some_hash
from tests.processes import REPOSITORY


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
        ["submit", URL, "--hash", "ab" * 32, "--wait", "--timeout", "nan"],
        ["watch", NOBODY, "--timeout", "nan"],
        ["watch", NOBODY, "--timeout", "1e999"],
        ["watch", "--after", "9" * 40],
        ["list", "--limit", "9" * 40],
        ["status", NOBODY, "--user", ""],
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
        for code in (0, 1, *EXIT_CODES.values(), 130, 141):
            assert f" {code} " in shown, f"{command} --help does not name {code}"
            assert f"| {code} |" in table
        assert f"`jobqueue {command}" in table


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


# With real pipes and processes


def shell(run: CommandLine, script: str) -> subprocess.CompletedProcess[str]:
    """``script`` with ``jobqueue`` in it, as bash runs it."""
    command = f"jobqueue() {{ '{sys.executable}' -c 'from jobqueue.cli import main; main()' \"$@\"; }}\n"
    return subprocess.run(
        ["bash", "-c", command + script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **run.environment, "PYTHONPATH": str(REPOSITORY)},
    )


@pytest.mark.parametrize("options", ["", "--json"])
def test_a_pipe_that_nobody_reads_is_141(run: CommandLine, options: str) -> None:
    ended = shell(run, f"jobqueue list {options} | true; exit ${{PIPESTATUS[0]}}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (141, "", "")


@pytest.mark.parametrize("options", ["", "--json"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_1(run: CommandLine, options: str) -> None:
    ended = shell(run, f"jobqueue list {options} > /dev/full")
    assert (ended.returncode, ended.stderr) == (1, "Error: The output cannot be written (No space left on device).\n")


@pytest.mark.parametrize("options", ["", "--json"])
def test_without_an_output_it_is_done_all_the_same(run: CommandLine, options: str) -> None:
    ended = shell(run, f"jobqueue quota {options} >&-")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_ids_are_whole_and_plain_in_a_pipe_of_any_width_and_encoding(
    run: CommandLine, manager: JobQueueManager, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    for setting in ("COLUMNS=10", "LC_ALL=C PYTHONIOENCODING=ascii", "FORCE_COLOR=", "TERM=dumb"):
        ended = shell(run, f"{setting} jobqueue list")
        assert (ended.returncode, ended.stderr) == (0, ""), setting
        assert f"\n{job.id} " in ended.stdout.replace("\n ", "\n").replace("\n|", "\n"), setting
