"""A copy of binaries for a user who cannot read the place where they are installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from jobqueue.embedded.server_error import EmbeddedServerError
from jobqueue.embedded.unprivileged_user import UnprivilegedUser

CACHE_FOLDERS = (Path("/var/cache/menu-jobqueue"), Path("/var/tmp/menu-jobqueue"))  # noqa: S108 - see _is_ours
LEFT_OUT = shutil.ignore_patterns("include", "__pycache__", "*.py", "*.a", "*.pc")


def copy_readable(parts: Iterable[Path], version: str, user: UnprivilegedUser) -> Path:
    """Copy files and folders side by side into the cache folder ``version``, once, and return that folder.

    Several first runs may do this at once: they queue for a lock, and the copy appears under its name only when it is
    whole. Only root needs this (an ordinary owner runs servers as itself), so the cache is in the system's place.
    Raises ``EmbeddedServerError`` when no cache folder can be used.
    """
    reasons = []
    for cache in CACHE_FOLDERS:
        try:
            cache.mkdir(mode=0o755, exist_ok=True)
        except OSError as error:
            reasons.append(f"{cache}: {error.strerror}")
            continue
        if not _is_ours(cache):
            reasons.append(f"{cache}: belongs to somebody else or others may write to it")
        elif not user.can_enter(cache):
            reasons.append(f"{cache}: the user {user.name!r} cannot enter it")
        else:
            return _copy_once(parts, cache, version)
    raise EmbeddedServerError(
        f"the user {user.name!r} cannot read the installed server binaries and there is no place for a readable copy "
        f"({'; '.join(reasons)}); install them where others can read them, or set DATABASE_URL and REDIS_URL."
    )


def _is_ours(folder: Path) -> bool:
    # Anyone may make a folder in /var/tmp: what root is to run must not come from there.
    status = folder.lstat()
    return folder.is_dir() and not folder.is_symlink() and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _copy_once(parts: Iterable[Path], cache: Path, version: str) -> Path:
    target = cache / version
    with (cache / "copy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        for interrupted in cache.glob(".unfinished-*"):
            shutil.rmtree(interrupted, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=cache))
        for part in parts:
            if part.is_dir():
                shutil.copytree(part, unfinished / part.name, ignore=LEFT_OUT)
            elif part.exists():
                shutil.copy2(part, unfinished / part.name)
        for path in [unfinished, *unfinished.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        unfinished.rename(target)
    return target
