"""A process that never outlives its owner, whole tree included, however the owner ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from jobqueue.embedded.server_error import EmbeddedServerError
from jobqueue.embedded.unprivileged_user import UnprivilegedUser

GUARDIAN = Path(__file__).with_name("process_guardian.py")
SECONDS_AFTER_KILL = 15.0


class ManagedProcess:
    """Starts ``command`` in a session of its own, beneath a guardian that ends the tree when this process is gone.

    Why a guardian and not PR_SET_PDEATHSIG alone: that signal fires when the starting *thread* ends, reaches only the
    direct child, and exists on Linux only. The guardian notices the owner's end by a pipe (and a process handle),
    sends ``stop_signal``, and after ``grace`` seconds kills all descendants, those in other sessions too. The command
    itself carries PR_SET_PDEATHSIG for the case that the guardian is killed. The same clean-up happens when the
    command ends by itself: what it left in the background is killed.

    ``log_path`` gets standard output and standard error, appended; ``env`` is the whole environment (this process's
    own by default); ``user`` changes user and group before the start; ``held_files`` stay open until the tree is gone
    (for a lock); ``orphaned_folder`` is deleted after the tree when the owner ended without stopping it.
    Raises ``EmbeddedServerError`` when the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: UnprivilegedUser | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 3.0,
        held_files: Sequence[int] = (),
        orphaned_folder: Path | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.log_path = log_path
        self._stop_signal = stop_signal
        self._exit_code: int | None = None
        order = {
            "command": self.command,
            "owner": os.getpid(),
            "cwd": None if cwd is None else str(cwd),
            "env": dict(os.environ if env is None else env),
            "user": None if user is None else (user.uid, user.gid),
            "stop_signal": int(stop_signal),
            "grace": grace,
            "orphaned_folder": None if orphaned_folder is None else str(orphaned_folder),
        }
        with open(log_path, "ab", opener=_private_file) as log:
            self._log_start = log.tell()
            self._guardian = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", str(GUARDIAN), Path(self.command[0]).name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                cwd="/",
                start_new_session=True,
                pass_fds=held_files,
            )
        try:
            self._send(json.dumps(order).encode() + b"\n")
            self.pid = self._read_pid()
        except BaseException:
            self._release(wait=True)
            raise

    def _read_pid(self) -> int:
        assert self._guardian.stdout is not None  # noqa: S101 - a pipe was asked for
        line = b""
        while not line.endswith(b"\n"):
            piece = self._guardian.stdout.read(1)
            if not piece:
                break
            line += piece
        answer = line.decode(errors="replace").strip()
        if not answer.isdigit():
            reason = answer.removeprefix("error: ") or self.log_tail() or "its guardian process ended at once"
            raise EmbeddedServerError(f"{self.command[0]} could not be started: {reason}.")
        return int(answer)

    def poll(self) -> int | None:
        """The exit code (negative: the signal) once the whole tree is gone, None before."""
        if self._exit_code is None and self._guardian.poll() is not None:
            self._exit_code = self._collect()
        return self._exit_code

    def wait(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds for the end and return the exit code; raises ``TimeoutError``."""
        if self._exit_code is None:
            try:
                self._guardian.wait(timeout)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"{self.command[0]} still runs after {timeout:g} s") from None
            self._exit_code = self._collect()
        return self._exit_code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the command alone (SIGKILL: to the whole tree). Nothing happens after its end."""
        if self.poll() is None:
            self._send(bytes([number]))

    def stop(self, timeout: float = 10.0) -> int:
        """Ask kindly with the stop signal, kill the tree after ``timeout`` seconds; returns the exit code."""
        self.send_signal(self._stop_signal)
        try:
            return self.wait(timeout)
        except TimeoutError:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL for the command and all its descendants; returns when they are gone."""
        self.send_signal(signal.SIGKILL)
        try:
            return self.wait(SECONDS_AFTER_KILL)
        except TimeoutError:
            self._guardian.kill()
            return self.wait(SECONDS_AFTER_KILL)

    def log_tail(self, lines: int = 5) -> str:
        """The last lines that this process wrote to its log, joined into one."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_start)
                written = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return " | ".join([line.strip() for line in written if line.strip()][-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _send(self, message: bytes) -> None:
        assert self._guardian.stdin is not None  # noqa: S101 - a pipe was asked for
        with contextlib.suppress(BrokenPipeError):
            while message:
                message = message[self._guardian.stdin.write(message) :]

    def _collect(self) -> int:
        assert self._guardian.stdout is not None  # noqa: S101 - a pipe was asked for
        answer = self._guardian.stdout.read().decode(errors="replace").strip()
        self._release(wait=False)
        if answer.removeprefix("-").isdigit():
            return int(answer)
        # The guardian was killed: PR_SET_PDEATHSIG has taken the command, this takes the rest of its group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return -signal.SIGKILL

    def _release(self, *, wait: bool) -> None:
        assert self._guardian.stdin is not None  # noqa: S101 - a pipe was asked for
        assert self._guardian.stdout is not None  # noqa: S101 - a pipe was asked for
        self._guardian.stdin.close()
        self._guardian.stdout.close()
        if wait:
            self._guardian.wait(SECONDS_AFTER_KILL)


def _private_file(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
