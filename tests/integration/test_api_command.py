"""``jobqueue api`` as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import httpx

from jobqueue import JobQueueManager, Settings
from tests.api_server import SECRET, bearer, token
from tests.eventually import eventually
from tests.integration.jobs import queued
from tests.processes import REPOSITORY

EXTRA = ("fastapi", "starlette", "uvicorn", "jwt", "anyio")


def command(settings: Settings, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from jobqueue.cli import main; main()", "api", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "DATABASE_URL": settings.required_database_url,
            **environment,
        },
    )


def test_the_command_serves_it(settings: Settings, manager: JobQueueManager, user_id: UUID) -> None:
    job = queued(manager, user_id)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with command(settings, "--port", port, JOBQUEUE_JWT_SECRET=SECRET) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            def answers() -> bool:
                try:
                    return client.get("/health").status_code == 200
                except httpx.ConnectError:
                    return False

            eventually(answers, within=30, what="jobqueue api answers")
            answer = client.get(f"/api/extraction/status/{job.id}", headers=bearer(token(user_id)))
            assert answer.json()["job"]["id"] == str(job.id)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in (0, -signal.SIGTERM)


def test_the_command_without_keys_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    with command(settings) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait(15) == 2
    assert printed.startswith("Error: JOBQUEUE_JWT_SECRET is not set; give ")
    assert printed.count("\n") == 1


def without_the_extra(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in an interpreter that finds none of the packages that only the extra brings."""
    (folder / "sitecustomize.py").write_text(f"""
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *rest):
        if name.partition(".")[0] not in {EXTRA!r}:
            return self.finder.find_spec(name, *rest)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
""")
    return subprocess.run(
        [sys.executable, "-c", "from jobqueue.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}", **environment},
    )


def test_without_the_extra_it_says_what_to_install(settings: Settings, tmp_path: Path) -> None:
    ended = without_the_extra(tmp_path, "api", DATABASE_URL=settings.required_database_url, JOBQUEUE_JWT_SECRET=SECRET)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "Error: The HTTP API is not installed; run: pip install 'menu-jobqueue[api]'.\n"


def test_without_the_extra_the_other_commands_work(
    settings: Settings, manager: JobQueueManager, user_id: UUID, tmp_path: Path
) -> None:
    job = queued(manager, user_id)
    ended = without_the_extra(tmp_path, "status", str(job.id), "--json", DATABASE_URL=settings.required_database_url)
    assert (ended.returncode, json.loads(ended.stdout)["jobId"]) == (0, str(job.id))
