"""The user a server runs as when its owner is root: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobqueue.embedded.server_error import EmbeddedServerError

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class UnprivilegedUser:
    """An account without rights, and the questions that only it can answer."""

    name: str
    uid: int
    gid: int

    def run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a short command as this user; raises ``OSError`` where the change of user or the start is refused."""
        return subprocess.run(  # noqa: S603 - fixed commands of this package
            [str(part) for part in command],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def can_enter(self, folder: Path) -> bool:
        """Whether every folder on the way lets this user through."""
        return self.run(["test", "-x", folder]).returncode == 0


def find_unprivileged_user() -> UnprivilegedUser | None:
    """The user to drop to: None for an ordinary owner, ``postgres`` or else ``nobody`` for root.

    Raises ``EmbeddedServerError`` when root has no such user or may not change to it (a container without
    CAP_SETUID, or a user namespace with one user).
    """
    if os.geteuid() != 0:
        return None
    account = next((found for found in map(_look_up, CANDIDATES) if found is not None), None)
    if account is None:
        raise EmbeddedServerError(
            "PostgreSQL refuses to run as root and there is no user 'postgres' or 'nobody' to run it as; "
            "run this as an ordinary user or set DATABASE_URL to a running server."
        )
    try:
        account.run(["true"])
    except OSError as error:
        raise EmbeddedServerError(
            f"PostgreSQL refuses to run as root and this process may not change to the user {account.name!r} "
            f"({error.strerror}; CAP_SETUID and CAP_SETGID are needed); run this as an ordinary user or set "
            "DATABASE_URL to a running server."
        ) from None
    return account


def _look_up(name: str) -> UnprivilegedUser | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return UnprivilegedUser(name, entry.pw_uid, entry.pw_gid)
