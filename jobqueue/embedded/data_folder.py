"""The folder of one server: temporary or kept, with one living owner at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Self

from jobqueue.embedded.server_error import EmbeddedServerError
from jobqueue.embedded.unprivileged_user import UnprivilegedUser

SECONDS_FOR_A_DEAD_OWNERS_SERVER = 20.0
SECONDS_UNTIL_ABANDONED = 60.0
TEMPORARY_PREFIX = "menu-jobqueue-server-"
LOCK_FILE = "owner.lock"


class DataFolder:
    """A folder under an exclusive lock. ``user`` is who runs the server (None: this process's own user).

    Subfolders made by ``subfolder`` belong to that user; everything else in it stays the owner's. Nobody else's folder
    gets other rights: where ``user`` cannot reach the place, ``EmbeddedServerError`` says so.
    """

    def __init__(self, path: Path, user: UnprivilegedUser | None, *, temporary: bool) -> None:
        self.path = path
        self.user = user
        self.temporary = temporary
        self._lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take_lock()
        except BaseException:
            os.close(self._lock)
            raise

    @classmethod
    def make_temporary(cls, user: UnprivilegedUser | None) -> Self:
        """A new folder in a place that ``user`` can reach; ``close`` removes it."""
        places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - mkdtemp below them
        place = next((place for place in places if user is None or user.can_enter(place)), None)
        if place is None:
            names = ", ".join(map(str, places))
            raise EmbeddedServerError(
                f"the server's user can enter none of {names}; set TMPDIR to a folder it can enter."
            )
        _remove_abandoned(place)
        path = _open_to(user, Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=place)))
        return cls(path, user, temporary=True)

    @classmethod
    def open_kept(cls, path: Path, user: UnprivilegedUser | None) -> Self:
        """The given folder, made if missing. Raises ``EmbeddedServerError`` while another living owner has it."""
        path = path.absolute()
        try:
            for missing in reversed([folder for folder in (path, *path.parents) if not folder.exists()]):
                missing.mkdir(mode=0o700)
                _open_to(user, missing)
            if user is not None and not user.can_enter(path):
                raise EmbeddedServerError(
                    f"the data folder {path} cannot be entered by the user {user.name!r}, as whom the server runs "
                    "because it refuses to run as root; choose a folder whose parents others may enter, "
                    "or run as an ordinary user."
                )
            return cls(path, user, temporary=False)
        except OSError as error:
            raise EmbeddedServerError(f"the data folder {path} cannot be used: {error.strerror}.") from None

    @property
    def lock_file(self) -> int:
        """The open lock: a process that holds it too keeps the folder taken until it ends."""
        return self._lock

    def subfolder(self, name: str) -> Path:
        """An existing or new folder that belongs to the server's user alone."""
        path = self.path / name
        if not path.exists():
            path.mkdir(mode=0o700)
            if self.user is not None:
                os.chown(path, self.user.uid, self.user.gid)
        return path

    def write_private(self, name: str, text: str, *, for_server: bool = False) -> Path:
        """A file that only the owner (or only the server's user) can read, replaced as a whole."""
        path = self.path / name
        unfinished = path.with_name(f"{name}.new")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            if not self.temporary:
                os.fsync(file.fileno())
        if for_server and self.user is not None:
            os.chown(unfinished, self.user.uid, self.user.gid)
        unfinished.replace(path)
        return path

    def close(self) -> None:
        """Give the folder up; a temporary one is removed."""
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def _take_lock(self) -> None:
        deadline = time.monotonic() + SECONDS_FOR_A_DEAD_OWNERS_SERVER
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
                # Right after the end of an owner its guardian still shuts the server down.
                if _is_alive(owner) or time.monotonic() > deadline:
                    raise EmbeddedServerError(
                        f"the data folder {self.path} is in use by process {owner or '(unknown)'}; "
                        "stop that one first or choose another folder."
                    ) from None
                time.sleep(0.05)
            else:
                os.ftruncate(self._lock, 0)
                os.pwrite(self._lock, str(os.getpid()).encode(), 0)
                return


def _open_to(user: UnprivilegedUser | None, folder: Path) -> Path:
    """Let the server's user walk through a folder that was just made here, without letting it look around."""
    if user is not None:
        folder.chmod(0o711)
    return folder


def _remove_abandoned(place: Path) -> None:
    """Remove temporary folders whose owner died in the few milliseconds in which no guardian knew of them."""
    for folder in place.glob(f"{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            # Age keeps off a folder that is just being made and not yet locked.
            if status.st_uid != os.geteuid() or time.time() - status.st_mtime < SECONDS_UNTIL_ABANDONED:
                continue
            lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return True
    with contextlib.suppress(PermissionError):
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
    return True
