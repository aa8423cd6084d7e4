"""The real processes of the system: Celery workers and notifiers, each ready when it is handed out."""

from __future__ import annotations

import itertools
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobqueue.embedded import ManagedProcess
from tests.eventually import eventually

REPOSITORY = Path(__file__).parent.parent
WORKER = [sys.executable, "-m", "celery", "-A", "worker", "worker", "--without-mingle", "--without-gossip"]
NOTIFIER = [sys.executable, "-m", "worker.notifier"]
FLOWER = [sys.executable, "-m", "celery", "-A", "worker", "flower"]
JOBQUEUE = [sys.executable, "-c", "from jobqueue.cli import main; main()"]
LEASE_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Processes:
    """Starts processes in one environment; what they print lies in ``logs``."""

    environment: Mapping[str, str]
    logs: Path
    numbers: itertools.count[int]

    @classmethod
    def for_servers(cls, database_url: str, redis_url: str, logs: Path) -> Processes:
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "JOBQUEUE_EXTRACTOR": "tests.scripted_extractor:ScriptedExtractor",
            "JOBQUEUE_PRIVATE_IMAGE_HOSTS": "127.0.0.1",
            "JOBQUEUE_LEASE_SECONDS": str(LEASE_SECONDS),
            "JOBQUEUE_RETRY_BACKOFF": "0.05",
        }
        return cls(environment, logs, itertools.count(1))

    @contextmanager
    def running(self, command: Sequence[str], ready: str, **environment: str) -> Iterator[ManagedProcess]:
        """The process from the moment it has printed ``ready``; ended with SIGTERM, then SIGKILL for its whole tree."""
        log_path = self.logs / f"{next(self.numbers)}-{re.sub('[^a-z]+', '-', ' '.join(command[2:]))[:40]}.log"
        process = ManagedProcess(command, log_path=log_path, env={**self.environment, **environment}, cwd=REPOSITORY)
        with process:
            eventually(lambda: process.poll() is not None or ready in log_path.read_text(), within=60, what=ready)
            assert process.poll() is None, f"{command} ended at once: {log_path.read_text()}"
            yield process

    @contextmanager
    def worker(self, *options: str, concurrency: int = 2, **environment: str) -> Iterator[ManagedProcess]:
        command = [*WORKER, "--loglevel=INFO", f"--concurrency={concurrency}", *options]
        with self.running(command, " ready.", **environment) as process:
            yield process

    @contextmanager
    def notifier(self, ready: str = "This notifier leads.", **environment: str) -> Iterator[ManagedProcess]:
        with self.running(NOTIFIER, ready, **environment) as process:
            yield process

    @contextmanager
    def api(self, **environment: str) -> Iterator[str]:
        """The base URL of ``jobqueue api``."""
        port = free_port()
        with self.running([*JOBQUEUE, "api", "--port", port], "Uvicorn running on", **environment):
            yield f"http://127.0.0.1:{port}"

    @contextmanager
    def flower(self, **environment: str) -> Iterator[str]:
        """The base URL of Flower."""
        port = free_port()
        with self.running([*FLOWER, f"--port={port}"], "Connected to", **environment):
            yield f"http://127.0.0.1:{port}"

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """``jobqueue`` with these arguments, run to its end."""
        return subprocess.run(
            [*JOBQUEUE, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=self.logs,
            env={**self.environment, **environment},
        )


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])
