"""Starts what died again, as an operator's supervisor does."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobqueue.embedded import ManagedProcess
from tests.processes import REPOSITORY

WORKER = [
    *[sys.executable, "-m", "celery", "-A", "worker", "worker", "-I", "tests.faults.inside_worker"],
    *["--without-mingle", "--without-gossip", "--loglevel=INFO", "--concurrency=2"],
]
NOTIFIER = [sys.executable, "-m", "tests.faults.inside_notifier"]
LOOK_EVERY_SECONDS = 0.05


class Supervised:
    """One process that is started again ``restart_after`` seconds after its end, with a log for each life."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], logs: Path, restart_after: float
    ) -> None:
        self.name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._logs = logs
        self._restart_after = restart_after
        self._lives = 0
        self._died_at: float | None = None
        self._lock = threading.Lock()
        self.process = self._start()

    def _start(self) -> ManagedProcess:
        self._lives += 1
        log = self._logs / f"{self.name}-{self._lives}.log"
        # A name of its own for every life: Celery's node names would collide otherwise.
        command = (
            [*self._command, f"--hostname={self.name}-{self._lives}@%h"] if "celery" in self._command else self._command
        )
        return ManagedProcess(command, log_path=log, env=self._environment, cwd=REPOSITORY)

    def look(self) -> None:
        with self._lock:
            if self.process.poll() is None:
                return
            now = time.monotonic()
            if self._died_at is None:
                self._died_at = now
            if now - self._died_at >= self._restart_after:
                self.process, self._died_at = self._start(), None

    def tree(self) -> list[int]:
        """The process and its descendants."""
        parents = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        found = [self.process.pid]
        for pid in found:
            found.extend(child for child, parent in parents.items() if parent == pid)
        return found

    def signal(self, number: signal.Signals, *, tree: bool = False) -> None:
        for pid in self.tree() if tree else [self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """As a crash of its machine: the whole tree at once."""
        self.signal(signal.SIGKILL, tree=True)

    def end(self) -> None:
        with self._lock:
            # A stopped process takes no signal but these.
            self.signal(signal.SIGCONT, tree=True)
            self.process.kill()


class Supervisor:
    """Looks after its processes until the end of the ``with`` block, then kills them."""

    def __init__(self) -> None:
        self.processes: list[Supervised] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def add(self, process: Supervised) -> Supervised:
        self.processes.append(process)
        return process

    def _run(self) -> None:
        while not self._ending.wait(LOOK_EVERY_SECONDS):
            for process in self.processes:
                process.look()

    def __enter__(self) -> Supervisor:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._ending.set()
        self._thread.join()
        for process in self.processes:
            process.end()
