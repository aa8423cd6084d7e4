"""What the embedded servers have in common: a folder, a port, a password, a process, and their life together."""

from __future__ import annotations

import os
import secrets
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from jobqueue.embedded.child_process import ManagedProcess
from jobqueue.embedded.data_folder import DataFolder
from jobqueue.embedded.loopback_port import LOOPBACK, is_free, pick_free_port
from jobqueue.embedded.server_error import EmbeddedServerError
from jobqueue.embedded.unprivileged_user import UnprivilegedUser

PORTS_TO_TRY = 5
# Nothing of the owner's environment: it may hold secrets, and PG* variables would change what the server does.
SERVER_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


class EmbeddedServer(ABC):
    """A server for the length of a ``with`` block, on the loopback interface, protected by a random password.

    Between entry and exit ``stop``, ``start``, ``restart`` and ``kill`` may be called in any sensible order; port and
    password stay the same. Whatever happens to this process, the server goes with it.
    """

    name: ClassVar[str]
    """As in "PostgreSQL"."""
    setting: ClassVar[str]
    """The environment variable that replaces this server, for messages."""
    stop_signal: ClassVar[signal.Signals]
    seconds_to_start: ClassVar[float] = 60.0
    seconds_to_stop: ClassVar[float] = 20.0

    def __init__(self, *, port: int | None, settings: Mapping[str, str]) -> None:
        self._wanted_port = port
        self._settings = dict(settings)
        self._port: int | None = None
        self._password = ""
        self._folder: DataFolder | None = None
        self._process: ManagedProcess | None = None

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        if self._port is None:
            raise EmbeddedServerError(f"{self.name} has not been started; use it in a with statement.")
        return self._port

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_path(self) -> Path:
        """The server's log; it goes with a temporary folder."""
        return self._open_folder.path / "server.log"

    def start(self) -> None:
        """Start a stopped server and wait until it answers; nothing happens when it runs.

        Raises ``EmbeddedServerError`` when the port is taken, else with the log's last lines when it does not come up.
        """
        if self.pid is not None:
            return
        port = self._port if self._port is not None else self._wanted_port
        if port is not None:
            self._process = self._start_on(port, may_be_taken=False)
            return
        for attempt in range(1, PORTS_TO_TRY + 1):
            candidate = pick_free_port()
            process = self._start_on(candidate, may_be_taken=attempt < PORTS_TO_TRY)
            if process is not None:
                self._port, self._process = candidate, process
                return

    def stop(self) -> None:
        """Shut the server down in good order; its data stay until the end of the ``with`` block (or for good)."""
        if self._process is not None:
            self._process.stop(self.seconds_to_stop)
            self._process = None

    def kill(self) -> None:
        """SIGKILL for the server and its children, as a crash would do it; ``start`` brings it up again."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Stop and start, on the same port and with the same password."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self._folder = self._open_data_folder()
        try:
            self._password = self._prepare()
            self.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        try:
            self.stop()
        finally:
            if self._folder is not None:
                self._folder.close()
                self._folder = None

    @property
    def _open_folder(self) -> DataFolder:
        if self._folder is None:
            raise EmbeddedServerError(f"{self.name} has no folder outside of its with statement.")
        return self._folder

    def _start_on(self, port: int, *, may_be_taken: bool) -> ManagedProcess | None:
        """The running server, or None when somebody else has the port and that is no error."""
        process = self._spawn(self._command(port), self.stop_signal)
        try:
            self._wait_until(lambda: self._is_ready(process.pid, port), process)
        except EmbeddedServerError:
            process.kill()
            if is_free(port):
                raise
            if may_be_taken:
                return None
            raise EmbeddedServerError(
                f"port {port} on {LOOPBACK} is taken by another program; "
                f"stop that one, choose another port, or set {self.setting} to a running server."
            ) from None
        except BaseException:
            process.kill()
            raise
        self._port = port
        return process

    def _spawn(self, command: list[str | Path], stop_signal: signal.Signals) -> ManagedProcess:
        folder = self._open_folder
        return ManagedProcess(
            command,
            log_path=self.log_path,
            env=SERVER_ENVIRONMENT,
            cwd=Path("/"),
            user=folder.user,
            stop_signal=stop_signal,
            held_files=[folder.lock_file],
            orphaned_folder=folder.path if folder.temporary else None,
        )

    def _wait_until(self, condition: Callable[[], bool], process: ManagedProcess) -> None:
        deadline = time.monotonic() + self.seconds_to_start
        while not condition():
            if process.poll() is not None:
                raise EmbeddedServerError(self._start_failure(f"ended with code {process.poll()}", process))
            if time.monotonic() > deadline:
                raise EmbeddedServerError(self._start_failure(f"was not ready in {self.seconds_to_start:g} s", process))
            time.sleep(0.01)

    def _start_failure(self, what: str, process: ManagedProcess) -> str:
        said = process.log_tail()
        return f"{self.name} {what} while starting; its log {f'ends: {said}' if said else 'is empty.'}"

    @staticmethod
    def _new_password() -> str:
        return secrets.token_hex(24)

    @abstractmethod
    def _find_user(self) -> UnprivilegedUser | None:
        """As whom the server runs, None for the owner itself."""

    @abstractmethod
    def _open_data_folder(self) -> DataFolder:
        """The folder, locked."""

    @abstractmethod
    def _prepare(self) -> str:
        """Make the folder fit for a start and return the password."""

    @abstractmethod
    def _command(self, port: int) -> list[str | Path]:
        """The command line that listens on this port in the foreground."""

    @abstractmethod
    def _is_ready(self, pid: int, port: int) -> bool:
        """Whether this very process (not somebody else's server on the same port) takes connections."""
