"""Two real notifiers on servers of their own, each behind proxies of its own, and what they told everybody."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from sqlalchemy import Engine, make_url, text

from jobqueue.database import Database, create_database_engine
from jobqueue.embedded import EmbeddedPostgres, EmbeddedValkey, ManagedProcess
from jobqueue.migration import migrate
from jobqueue.store.relay_state import RelayState, relay_state
from tests.conftest import add_user
from tests.eventually import eventually
from tests.processes import NOTIFIER, REPOSITORY, Processes
from tests.servers import POSTGRES_SETTINGS
from tests.tcp_proxy import TcpProxy


class Member:
    """One notifier, which reaches both servers through proxies that only it uses."""

    def __init__(self, database_url: str, redis_url: str, log: Path, stack: ExitStack) -> None:
        self.postgres = self._proxy(database_url, stack)
        self.redis = self._proxy(redis_url, stack)
        self.log_path = log
        self._environment = Processes.for_servers(
            self._through(self.postgres, database_url), self._through(self.redis, redis_url), log.parent
        ).environment
        self.process = self.start()
        stack.callback(lambda: self.process.kill())  # noqa: PLW0108 - the present one

    @staticmethod
    def _proxy(url: str, stack: ExitStack) -> TcpProxy:
        parsed = make_url(url)
        assert parsed.host is not None
        assert parsed.port is not None
        made = TcpProxy((parsed.host, parsed.port))
        stack.enter_context(made.running())
        return made

    @staticmethod
    def _through(proxy: TcpProxy, url: str) -> str:
        return make_url(url).set(port=proxy.port).render_as_string(hide_password=False)

    def start(self) -> ManagedProcess:
        self.process = ManagedProcess(NOTIFIER, log_path=self.log_path, env=self._environment, cwd=REPOSITORY)
        return self.process

    @property
    def stands_by(self) -> bool:
        """What it said of itself last."""
        said = [line.endswith("standing by.") for line in self.lines if " leads" in line]
        return said[-1:] == [True]

    @property
    def lines(self) -> list[str]:
        return self.log_path.read_text().splitlines()


class Pair:
    """The notifiers, their servers, and a user whose jobs are submitted in plain SQL."""

    def __init__(self, postgres: EmbeddedPostgres, valkey: EmbeddedValkey, engine: Engine, logs: Path) -> None:
        self.postgres = postgres
        self.valkey = valkey
        self.engine = engine
        self.user_id = add_user(engine)
        self._logs = logs
        self._members: list[Member] = []

    def add(self, stack: ExitStack) -> None:
        log = self._logs / f"notifier-{len(self._members)}.log"
        self._members.append(Member(self.postgres.url, self.valkey.url, log, stack))

    @property
    def members(self) -> Sequence[Member]:
        return self._members

    def state(self) -> RelayState:
        return Database(self.engine).run(relay_state)

    def roles(self) -> tuple[Member, Member]:
        """The leader and the standby, once both work and everything has been relayed."""

        def settled() -> tuple[Member, Member] | None:
            state = self.state()
            if not state.led or state.leader is None or state.lag_seconds is not None:
                return None
            pid = int(state.leader.split(":")[-2])
            leader = next(one for one in self._members if one.process.pid == pid)
            standby = next(one for one in self._members if one is not leader)
            return (leader, standby) if standby.stands_by else None

        found = eventually(settled, within=30, what="a leader and a standby")
        assert found is not None
        return found

    def start_anew(self) -> None:
        """Both, so that they know nothing of earlier outages."""
        for one in self._members:
            one.process.stop()
        for one in self._members:
            one.start()
        self.roles()

    def submit(self) -> UUID:
        with self.engine.begin() as connection:
            found = connection.execute(
                text("INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES (:user, 'x') RETURNING id"),
                {"user": self.user_id},
            )
            job_id: UUID = found.scalar_one()
        return job_id

    def change(self, job_id: UUID, status: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                text("UPDATE menu_extraction_jobs SET status = :status WHERE id = :id"),
                {"status": status, "id": job_id},
            )

    def set_notify_mode(self, mode: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE menu_extraction_settings SET value = :mode"), {"mode": mode})

    def somebody_sleeps(self) -> bool:
        """Whether the lock of a sleeping notifier is held."""
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted"
        with self.engine.connect() as connection:
            return bool(connection.execute(text(query)).scalar_one())

    def writes(self) -> int:
        """A number that grows by one with every transaction that writes."""
        with self.engine.connect() as connection:
            query = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            return int(connection.execute(text(query)).scalar_one())

    def is_numbered(self, job_id: UUID) -> bool:
        with self.engine.connect() as connection:
            query = "SELECT cursor IS NOT NULL FROM menu_extraction_job_events WHERE job_id = :id"
            return bool(connection.execute(text(query), {"id": job_id}).scalar_one())

    @contextmanager
    def subscriber(self) -> Iterator[Heard]:
        """``SUBSCRIBE`` to the user's channel, and nothing else."""
        with redis.Redis.from_url(self.valkey.url) as client:
            heard = Heard(client, self.user_id)
            try:
                yield heard
            finally:
                heard.close()


class Heard:
    """What a plain Redis client hears, from when it was made."""

    def __init__(self, client: redis.Redis, user_id: UUID) -> None:
        self._pubsub: Any = client.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.subscribe(f"menu_extraction_jobs:{user_id}")
        assert self._pubsub.get_message(timeout=5)["type"] == "subscribe"
        self.events: list[tuple[UUID, int]] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._closing.is_set():
            message = self._pubsub.get_message(timeout=0.05)
            if message is not None:
                data = json.loads(message["data"])
                self.events.append((UUID(data["id"]), data["seq"]))

    def wait_for(self, job_id: UUID, seq: int = 1, within: float = 20) -> None:
        eventually(lambda: (job_id, seq) in self.events, within=within, what=f"event {seq} of job {job_id}")

    def of(self, job_id: UUID) -> list[int]:
        return [seq for job, seq in self.events if job == job_id]

    def assert_in_order(self, job_id: UUID, number: int) -> None:
        """All events of the job came; some perhaps twice, but none after a later one."""
        assert self.of(job_id) == sorted(self.of(job_id))
        assert set(self.of(job_id)) == set(range(1, number + 1))

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._pubsub.close()


@contextmanager
def notifier_pair(logs: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres(settings=POSTGRES_SETTINGS))
        valkey = stack.enter_context(EmbeddedValkey())
        engine = create_database_engine(postgres.url)
        stack.callback(engine.dispose)
        migrate(engine)
        pair = Pair(postgres, valkey, engine, logs)
        for _ in range(2):
            pair.add(stack)
        yield pair
