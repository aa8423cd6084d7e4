"""A real Valkey (or Redis) for development, demonstrations and tests."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobqueue.embedded.data_folder import DataFolder
from jobqueue.embedded.embedded_server import EmbeddedServer
from jobqueue.embedded.loopback_port import LOOPBACK
from jobqueue.embedded.postgres_server import NO_SETTINGS
from jobqueue.embedded.server_binaries import find_valkey
from jobqueue.embedded.server_error import EmbeddedServerError
from jobqueue.embedded.unprivileged_user import UnprivilegedUser, find_unprivileged_user

IN_MEMORY = {"save": '""', "appendonly": "no"}


class EmbeddedValkey(EmbeddedServer):
    """Valkey for the length of a ``with`` block, in memory: a restart empties it, as does the end.

    ``port`` None picks a free one. ``settings`` are Valkey's own (``{"databases": "64"}``; ``{"appendonly": "yes"}``
    keeps the data over a ``restart``, not longer). Entering raises ``EmbeddedServerError`` in one sentence: no Valkey
    or Redis found, port taken, or the end of the log of a server that did not come up.
    """

    name: ClassVar[str] = "Valkey"
    setting: ClassVar[str] = "REDIS_URL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, *, port: int | None = None, settings: Mapping[str, str] = NO_SETTINGS) -> None:
        super().__init__(port=port, settings=settings)
        self._program = Path()

    @property
    def url(self) -> str:
        """``redis://`` URL of database 0, password included."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def _find_user(self) -> UnprivilegedUser | None:
        try:
            return find_unprivileged_user()
        except EmbeddedServerError:
            return None  # unlike PostgreSQL it agrees to run as root

    def _open_data_folder(self) -> DataFolder:
        user = self._find_user()
        self._program = find_valkey(user)
        return DataFolder.make_temporary(user)

    def _prepare(self) -> str:
        return self._new_password()

    def _command(self, port: int) -> list[str | Path]:
        folder = self._open_folder
        settings = {
            **IN_MEMORY,
            **self._settings,
            "bind": LOOPBACK,
            "port": str(port),
            "requirepass": self._password,
            "dir": str(folder.subfolder("data")),
            "daemonize": "no",
        }
        # A file, since everybody can read a command line.
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        return [self._program, folder.write_private("valkey.conf", text, for_server=True)]

    def _is_ready(self, pid: int, port: int) -> bool:
        # A program that has taken the port may accept and say nothing: ask briefly, and again.
        once = Retry(NoBackoff(), 0)
        with redis.Redis(host=LOOPBACK, port=port, password=self._password, socket_timeout=0.2, retry=once) as client:
            try:
                return bool(client.info("server")["process_id"] == pid)
            except redis.RedisError:
                return False
