"""``jobqueue watch`` and ``submit --wait`` until the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from uuid import UUID

from sqlalchemy import Engine

from jobqueue import JobQueueManager
from tests.command_line import CommandLine
from tests.eventually import eventually
from tests.image_server import ImageServer
from tests.integration.jobs import claimed, fail, failed, queued
from tests.processes import REPOSITORY, Processes


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
