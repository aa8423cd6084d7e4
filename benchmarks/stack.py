"""Servers, notifier and workers of a benchmark's own, which end with it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Engine, text

from jobqueue.database import create_database_engine
from jobqueue.embedded.child_process import ManagedProcess
from jobqueue.embedded.postgres_server import EmbeddedPostgres
from jobqueue.embedded.valkey_server import EmbeddedValkey
from jobqueue.migration import migrate
from jobqueue.settings import load_settings


class Stack:
    """A migrated database and a Redis, named in this process's environment, which the workers inherit."""

    def __init__(self, cleanup: ExitStack, *, picture_host: str, extractor: str, connections: int = 2) -> None:
        self._logs = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        os.environ.update(
            DATABASE_URL=cleanup.enter_context(EmbeddedPostgres()).url,
            REDIS_URL=cleanup.enter_context(EmbeddedValkey()).url,
            JOBQUEUE_PRIVATE_IMAGE_HOSTS=picture_host,
            JOBQUEUE_EXTRACTOR=extractor,
        )
        self.settings = load_settings()
        self.engine: Engine = create_database_engine(self.settings.required_database_url, pool_size=connections)
        cleanup.callback(self.engine.dispose)
        migrate(self.engine)

    def process(self, name: str, module: Sequence[str]) -> ManagedProcess:
        """``python -m`` with this module and its arguments, as a context."""
        log = self._logs / f"{name.replace(' ', '-')}.log"
        return ManagedProcess([sys.executable, "-m", *module], cwd=Path(__file__).parent.parent, log_path=log)

    def until_drained(self, table: str, within: float, every: float = 0.02) -> None:
        """Look ``every`` so many seconds until no job of the table is open. Raises ``SystemExit`` after ``within``."""
        statement = text(f"SELECT count(*) FROM {table} WHERE status IN ('queued', 'processing')")
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            with self.engine.connect() as connection:
                if connection.execute(statement).scalar_one() == 0:
                    return
            time.sleep(every)
        raise SystemExit(f"The jobs in {table} were not finished within {within:.0f} s.")
