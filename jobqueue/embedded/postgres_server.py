"""A real PostgreSQL for development, demonstrations and tests."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import psycopg2
from psycopg2 import errors, sql

from jobqueue.embedded.data_folder import DataFolder
from jobqueue.embedded.embedded_server import EmbeddedServer
from jobqueue.embedded.loopback_port import LOOPBACK
from jobqueue.embedded.server_binaries import PostgresBinaries, find_postgres
from jobqueue.embedded.server_error import EmbeddedServerError
from jobqueue.embedded.unprivileged_user import UnprivilegedUser, find_unprivileged_user

SUPERUSER = "jobqueue"
DATABASE = "jobqueue"
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
CLUSTER = "postgres"
PASSWORD_FILE = "postgres.password"  # noqa: S105 - a file name
SECONDS_FOR_INITDB = 180.0


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL for the length of a ``with`` block; as root it runs as ``postgres`` or ``nobody``.

    Without ``data_dir`` its data live in a temporary folder that goes at the end. A given ``data_dir`` is filled once,
    keeps its data and password for the next run, and has one owner at a time. ``port`` None picks a free one.
    ``settings`` are PostgreSQL's own (``{"fsync": "off"}``); the defaults lose nothing in a crash.

    Entering raises ``EmbeddedServerError`` in one sentence: no PostgreSQL found, port or folder taken, no right to
    change the user, or the end of the log of a server that did not come up.
    """

    name: ClassVar[str] = "PostgreSQL"
    setting: ClassVar[str] = "DATABASE_URL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": SIGTERM would wait for every client to leave

    def __init__(
        self, data_dir: Path | None = None, *, port: int | None = None, settings: Mapping[str, str] = NO_SETTINGS
    ) -> None:
        super().__init__(port=port, settings=settings)
        self._data_dir = data_dir
        self._binaries: PostgresBinaries | None = None

    @property
    def url(self) -> str:
        """``postgresql://`` URL of the database ``jobqueue``, whose user is the superuser."""
        return self._url_of(DATABASE)

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL; raises ``EmbeddedServerError`` when the name is taken."""
        try:
            self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except errors.DuplicateDatabase:
            raise EmbeddedServerError(f"the database {name!r} exists already; choose another name.") from None
        except psycopg2.OperationalError as error:
            raise EmbeddedServerError(f"the database {name!r} could not be made: {str(error).strip()}.") from None
        return self._url_of(name)

    def start(self) -> None:
        super().start()
        # Looked up at every start: the run that made the cluster may have died before it got here.
        if not self._execute(sql.SQL("SELECT FROM pg_database WHERE datname = {}").format(sql.Literal(DATABASE))):
            self.create_database(DATABASE)

    def _url_of(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def _execute(self, statement: sql.Composable) -> int:
        """Run one statement outside of a transaction and return how many rows it concerned."""
        with closing(psycopg2.connect(self._url_of("postgres"), connect_timeout=10)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                count: int = cursor.rowcount
                return count

    def _find_user(self) -> UnprivilegedUser | None:
        return find_unprivileged_user()

    def _open_data_folder(self) -> DataFolder:
        user = self._find_user()
        self._binaries = find_postgres(user)
        if self._data_dir is None:
            return DataFolder.make_temporary(user)
        return DataFolder.open_kept(self._data_dir, user)

    def _prepare(self) -> str:
        folder = self._open_folder
        cluster = folder.path / CLUSTER
        password_file = folder.path / PASSWORD_FILE
        if not cluster.exists():
            folder.write_private(PASSWORD_FILE, self._new_password())
            self._make_cluster(password_file.read_text())
        try:
            return password_file.read_text()
        except OSError as error:
            raise EmbeddedServerError(
                f"the password of the PostgreSQL data in {folder.path} cannot be read from {password_file} "
                f"({error.strerror}); put it back or choose another folder."
            ) from None

    def _make_cluster(self, password: str) -> None:
        assert self._binaries is not None  # noqa: S101 - found when the folder was opened
        folder = self._open_folder
        unfinished = folder.path / f"{CLUSTER}.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        folder.subfolder(unfinished.name)
        password_file = folder.write_private("initdb.password", password, for_server=True)
        locale = ["--locale-provider=builtin"] if self._binaries.major >= 17 else []
        command: list[str | Path] = [
            self._binaries.folder / "initdb",
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            *locale,
            "--locale=C.UTF-8",
            *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
        ]
        with self._spawn(command, signal.SIGTERM) as process:
            try:
                code = process.wait(SECONDS_FOR_INITDB)
            except TimeoutError:
                raise EmbeddedServerError(self._start_failure("was still making its data folder", process)) from None
            finally:
                password_file.unlink()
            if code != 0:
                raise EmbeddedServerError(self._start_failure("could not make its data folder", process))
        unfinished.rename(folder.path / CLUSTER)

    def _command(self, port: int) -> list[str | Path]:
        assert self._binaries is not None  # noqa: S101 - found when the folder was opened
        settings = {
            **self._settings,
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "logging_collector": "off",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._binaries.folder / "postgres", "-D", self._open_folder.path / CLUSTER, *arguments]

    def _is_ready(self, pid: int, port: int) -> bool:
        try:
            lines = (self._open_folder.path / CLUSTER / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[3] == str(port) and lines[7].strip() == "ready"
