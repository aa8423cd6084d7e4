"""The script between an owner and one of its processes: it ends the whole tree when the owner is gone.

Run by ``ManagedProcess`` with nothing but the standard library. Standard input is the lifeline: first one line of JSON
(what to run), then one byte for each signal to pass on; its end means that the owner has gone, however it went.
Standard output carries the report: the command's pid (or ``error: ...``), and its exit code once the tree is gone.
Standard error is the command's log.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

LIFELINE = 0
REPORT = 1
LOG = 2
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SECONDS_BETWEEN_OWNER_CHECKS = 0.5
SECONDS_TO_END_THE_TREE = 10.0


def _read_order() -> dict[str, Any] | None:
    received = b""
    while not received.endswith(b"\n"):
        piece = os.read(LIFELINE, 65536)
        if not piece:
            return None
        received += piece
    order: dict[str, Any] = json.loads(received)
    return order


def _load_prctl() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda option, value: int(prctl(option, ctypes.c_ulong(value), 0, 0, 0))


class _Guardian:
    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._exit_code: int | None = None
        self._orphaned = False
        self._asked_to_end = False
        self._kill_at: float | None = None
        self._prctl = _load_prctl()
        self._wake_up, wake_up_writer = os.pipe()
        os.set_blocking(wake_up_writer, False)
        signal.set_wakeup_fd(wake_up_writer)
        # Handlers, not SIG_IGN: an ignored signal would stay ignored in the command.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_end)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _on_end(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_end = True

    def run(self) -> int:
        if self._prctl is not None:
            self._prctl(PR_SET_CHILD_SUBREAPER, 1)
        guardian = os.getpid()

        def die_with_the_guardian() -> None:
            # After the change of user, which would clear it; and the guardian may have died before it was set.
            if self._prctl is not None:
                self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guardian:
                os._exit(1)

        user = self._order["user"]
        identity: dict[str, Any] = {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}
        try:
            child = subprocess.Popen(  # noqa: S603 - the owner's own command
                self._order["command"],
                cwd=self._order["cwd"],
                env=self._order["env"],
                stdin=subprocess.DEVNULL,
                stdout=LOG,
                stderr=LOG,
                start_new_session=True,
                preexec_fn=die_with_the_guardian,  # noqa: PLW1509 - the guardian has one thread
                **identity,
            )
        except (OSError, subprocess.SubprocessError) as error:
            _report(f"error: {error}")
            return 1
        _report(str(child.pid))
        self._watch(child.pid)
        self._end_tree(child.pid)
        if (self._orphaned or self._owner_is_dead()) and self._order["orphaned_folder"]:
            import shutil  # noqa: PLC0415 - rarely needed, and every millisecond of the start counts

            shutil.rmtree(self._order["orphaned_folder"], ignore_errors=True)
        child.returncode = self._exit_code if self._exit_code is not None else -signal.SIGKILL
        _report(str(child.returncode))
        return 0

    def _watch(self, command: int) -> None:
        """Pass signals on until the command has ended or must be killed."""
        while not self._has_ended(command) and (patience := self._patience(command)) > 0:
            ready, _, _ = select.select(
                [self._wake_up] if self._orphaned else [self._wake_up, LIFELINE], [], [], patience
            )
            if self._wake_up in ready:
                os.read(self._wake_up, 512)
            signals = os.read(LIFELINE, 512) if LIFELINE in ready else b""
            if signal.SIGKILL in signals:
                return
            for number in signals:
                _signal(command, number)
            if (LIFELINE in ready and not signals) or self._owner_is_dead():
                self._orphaned = self._asked_to_end = True

    def _owner_is_dead(self) -> bool:
        # A process forked by the owner holds a copy of the lifeline, which then does not end with the owner.
        return os.getppid() != int(self._order["owner"])

    def _patience(self, command: int) -> float:
        """How many seconds may pass until the next look; none are left when the time to end has run out."""
        if not self._asked_to_end:
            return SECONDS_BETWEEN_OWNER_CHECKS
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._order["grace"]
            _signal(command, self._order["stop_signal"])
        return self._kill_at - time.monotonic()

    def _has_ended(self, command: int) -> bool:
        self._reap(command)
        return self._exit_code is not None

    def _reap(self, command: int) -> bool:
        """Collect whatever has ended; False when no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == command:
                self._exit_code = os.waitstatus_to_exitcode(status)

    def _end_tree(self, command: int) -> None:
        """Kill the command's group, then all who escaped it: as they lose their parents they become our children."""
        deadline = time.monotonic() + SECONDS_TO_END_THE_TREE
        while time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(command, signal.SIGKILL)
            for child in _children():
                _signal(child, signal.SIGKILL)
            if not self._reap(command):
                return
            time.sleep(0.002)


def _children() -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            # The name in parentheses may itself hold spaces and parentheses.
            if int(entry.read_text(errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(entry.parent.name))
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _report(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(REPORT, f"{line}\n".encode(errors="replace"))


def main() -> int:
    order = _read_order()
    return 0 if order is None else _Guardian(order).run()


if __name__ == "__main__":
    sys.exit(main())
