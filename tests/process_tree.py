"""Looking at real processes: who lives, who belongs to a folder, and waiting for them to go."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path


def eventually(condition: Callable[[], bool], *, within: float = 10.0) -> bool:
    """Whether the condition comes true within so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_about(text: str) -> dict[int, str]:
    """Pid and command line of every process whose command line, environment or working folder mentions ``text``."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        known = b""
        with contextlib.suppress(OSError):
            known += (entry / "cmdline").read_bytes()
        with contextlib.suppress(OSError):
            known += (entry / "environ").read_bytes()
        with contextlib.suppress(OSError):
            known += os.fsencode((entry / "cwd").readlink())
        pid = int(entry.name)
        if text.encode() in known and pid != os.getpid() and is_alive(pid):
            found[pid] = known[:200].decode(errors="replace").replace("\0", " ")
    return found
