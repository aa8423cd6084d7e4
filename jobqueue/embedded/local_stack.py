"""The whole system on this machine: servers, migrated database, worker, notifier and Flower, stopped together."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from redis.exceptions import RedisError

from jobqueue.database import create_database_engine
from jobqueue.embedded.child_process import ManagedProcess
from jobqueue.embedded.loopback_port import is_free, pick_free_port
from jobqueue.embedded.postgres_server import EmbeddedPostgres
from jobqueue.embedded.state_folder import state_folder
from jobqueue.embedded.valkey_server import EmbeddedValkey
from jobqueue.errors import InvalidInputError, QueueUnavailableError
from jobqueue.migration import migrate
from jobqueue.redis_connection import connect_redis
from jobqueue.settings import Settings, load_settings

READY_WITHIN_SECONDS = 60.0
# An extraction that still runs then is cut off; its job is taken up again by the next worker.
STOP_WITHIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Step:
    """Something that start-up did, and how long it took."""

    name: str
    seconds: float


class LocalStack:
    """A context manager; ``settings`` hold the addresses while it is open.

    ``private_image_hosts`` may be fetched from in addition to the configured ones. With ``keep_data`` the embedded
    database survives in this user's state folder. Raises ``JobQueueError`` subclasses, with one sentence that says
    which part did not start and why.
    """

    def __init__(
        self,
        *,
        concurrency: int = 1,
        flower_port: int | None = None,
        keep_data: bool = False,
        private_image_hosts: Sequence[str] = (),
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self._concurrency = concurrency
        self._flower_port = flower_port
        self._keep_data = keep_data
        self._private_image_hosts = private_image_hosts
        self._announce = announce
        self._cleanup = ExitStack()
        self._processes: dict[str, ManagedProcess] = {}
        self._environment: dict[str, str] = {}
        self.steps: list[Step] = []
        self.settings: Settings = load_settings()
        self.flower_url = ""
        self.log_folder = Path()

    def __enter__(self) -> Self:
        with self._cleanup:
            self._start()
            # Started: what has been opened stays open until the caller leaves.
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def check(self) -> None:
        """Raises ``QueueUnavailableError`` when one of the processes has died."""
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None:
                raise QueueUnavailableError(f"The {name} stopped with exit code {code}: {process.log_tail()}")

    def wait(self) -> None:
        """Block while everything runs."""
        while True:
            self.check()
            time.sleep(0.5)

    def _start(self) -> None:
        flower_port = self._chosen_flower_port()
        self.log_folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="menu-jobqueue-")))
        self._start_servers()
        with self._step("database migrated"):
            engine = create_database_engine(self.settings.required_database_url)
            try:
                migrate(engine)
            finally:
                engine.dispose()
        self._cleanup.callback(self._stop_processes)
        python = sys.executable
        celery = [python, "-m", "celery", "-A", "worker"]
        with self._step("worker, notifier and Flower"):
            self._launch("notifier", [python, "-m", "worker.notifier"])
            self._launch(
                "worker",
                [*celery, "worker", "--loglevel=INFO", f"--concurrency={self._concurrency}", "--without-mingle"],
            )
            self._launch("Flower", [*celery, "flower", f"--port={flower_port}"])
            self.flower_url = f"http://127.0.0.1:{flower_port}"
            self._until_ready("notifier", lambda: " leads" in self._log("notifier"))
            self._until_ready("worker", lambda: " ready." in self._log("worker"))
            self._until_ready("Flower", lambda: _answers(f"{self.flower_url}/healthcheck"))

    def _start_servers(self) -> None:
        found: dict[str, str] = {}
        if self.settings.database_url is None:
            with self._step("PostgreSQL"):
                data = state_folder() / "postgres" if self._keep_data else None
                found["database_url"] = self._cleanup.enter_context(EmbeddedPostgres(data)).url
        if self.settings.redis_url is None:
            with self._step("Valkey"):
                found["redis_url"] = self._cleanup.enter_context(EmbeddedValkey()).url
        else:
            self._refuse_unreachable_redis()
        hosts = {*self.settings.private_image_hosts, *self._private_image_hosts}
        self.settings = load_settings(**found, private_image_hosts=frozenset(hosts))
        self._environment = {
            **os.environ,
            "DATABASE_URL": self.settings.required_database_url,
            "REDIS_URL": self.settings.required_redis_url,
            "JOBQUEUE_PRIVATE_IMAGE_HOSTS": ",".join(sorted(hosts)),
        }

    def _refuse_unreachable_redis(self) -> None:
        # The worker itself would go on trying.
        client = connect_redis(self.settings.required_redis_url)
        try:
            client.ping()
        except (RedisError, OSError) as error:
            raise QueueUnavailableError(
                f"Redis did not answer at the address in REDIS_URL ({type(error).__name__}); "
                "check host, port and password and that it runs."
            ) from None
        finally:
            client.close()

    def _launch(self, name: str, command: Sequence[str]) -> None:
        self._processes[name] = ManagedProcess(
            command,
            env=self._environment,
            cwd=Path.cwd(),
            log_path=self._log_path(name),
            orphaned_folder=self.log_folder,
        )

    def _stop_processes(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(STOP_WITHIN_SECONDS)
            except TimeoutError:
                process.kill()

    def _log(self, name: str) -> str:
        return self._log_path(name).read_text(errors="replace")

    def _log_path(self, name: str) -> Path:
        return self.log_folder / f"{name.lower()}.log"

    def _until_ready(self, name: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                said = self._processes[name].log_tail()
                raise QueueUnavailableError(f"The {name} was not ready within {READY_WITHIN_SECONDS:.0f} s: {said}")
            time.sleep(0.05)

    def _chosen_flower_port(self) -> int:
        if self._flower_port is None:
            # Not Flower's usual port: of two stacks that start at once both would find it free.
            return pick_free_port()
        if not is_free(self._flower_port):
            raise InvalidInputError(f"Port {self._flower_port} is in use; choose another with --flower-port.")
        return self._flower_port

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        if self._announce is not None:
            self._announce(name)
        began = time.monotonic()
        yield
        self.steps.append(Step(name, time.monotonic() - began))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own loopback address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
