"""A whole system of its own for one test: servers that can be killed, proxies that can be cut, supervised processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import Engine, make_url

from jobqueue import JobQueueManager, Settings
from jobqueue.database import create_database_engine
from jobqueue.embedded import EmbeddedPostgres, EmbeddedValkey
from jobqueue.migration import migrate
from jobqueue.settings import load_settings
from tests.conftest import add_user
from tests.eventually import eventually
from tests.faults import mechanisms, steps
from tests.faults.audit import FINAL, Verdict, audit
from tests.faults.extractor import JOURNAL
from tests.faults.observer import Observer
from tests.faults.report import Line
from tests.faults.submitter import UNBOUNDED, Submitter
from tests.faults.subscribers import ConstantSubscriber, PlainSubscriber, ResumingSubscriber
from tests.faults.supervisor import NOTIFIER, WORKER, Supervised, Supervisor
from tests.image_server import ImageServer
from tests.processes import LEASE_SECONDS, REPOSITORY
from tests.tcp_proxy import TcpProxy

# Commits survive a killed server: what fsync adds concerns a machine that loses power.
POSTGRES = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}
STUCK_AFTER_SECONDS = 40.0
# With a mechanism switched off jobs may go round for ever.
GIVEN_UP_AFTER_SECONDS = 150.0
SETTLED_WITHIN_SECONDS = 20.0
# For what comes in a moment on a machine with nothing else to do.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Plan:
    """What a world is made of. ``proxies`` are of the form ``worker-postgres``, ``notifier-redis``, ..."""

    workers: int = 2
    notifiers: int = 2
    proxies: frozenset[str] = frozenset()
    kills: tuple[steps.Kill, ...] = ()
    without: str | None = None
    restart_worker_after: float = 0.2
    restart_notifier_after: float = 0.2
    environment: dict[str, str] = field(default_factory=dict)
    stuck_after: float = STUCK_AFTER_SECONDS
    given_up_after: float = GIVEN_UP_AFTER_SECONDS
    # Whether a job may wear out four workers without being to blame.
    wearing_out: bool = False


class World:
    """Use it in a ``with`` block. ``finish`` waits for the end of all jobs and returns what to assert on."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.journal = folder / "executions"
        self.kills_folder = folder / "kills"
        self.postgres = EmbeddedPostgres(settings=POSTGRES)
        self.redis = EmbeddedValkey()
        self.proxies: dict[str, TcpProxy] = {}
        self.supervisor = Supervisor()
        self.workers: list[Supervised] = []
        self.notifiers: list[Supervised] = []
        self.faults_at: list[float] = []
        self._images = ImageServer()
        self._stack = ExitStack()

    def __enter__(self) -> World:
        with ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def _open(self, stack: ExitStack) -> None:
        for folder in (self.journal, self.kills_folder):
            folder.mkdir(parents=True)
        stack.enter_context(mechanisms.switched_off_here(self.plan.without))
        stack.enter_context(self._images.running())
        for server in (self.postgres, self.redis):
            stack.enter_context(server)
        for name in self.plan.proxies:
            server = self.postgres if name.endswith("-postgres") else self.redis
            self.proxies[name] = TcpProxy(("127.0.0.1", server.port))
            stack.enter_context(self.proxies[name].running())
        self.engine = self._engine(stack, self.postgres.url, pool_pre_ping=True)
        self.observer = Observer(self.engine, self.journal)
        migrate(self.engine)
        mechanisms.switch_off_in_database(self.plan.without, self.engine)
        self.user_id = add_user(self.engine)
        stack.enter_context(self.supervisor)
        for number in range(self.plan.notifiers):
            self.notifiers.append(self._supervised(f"notifier{number}", NOTIFIER, self.plan.restart_notifier_after))
        for number in range(self.plan.workers):
            self.workers.append(self._supervised(f"worker{number}", WORKER, self.plan.restart_worker_after))
        self._open_application(stack)

    def _engine(self, stack: ExitStack, url: str, **options: Any) -> Engine:
        engine = create_database_engine(url, pool_size=20, **options)
        stack.callback(engine.dispose)
        return engine

    def _open_application(self, stack: ExitStack) -> None:
        settings = self._settings("application")
        engine = self._engine(stack, settings.required_database_url)
        manager = JobQueueManager(engine, settings=settings)
        stack.callback(manager.close)
        self.submitter = Submitter(manager, self.user_id, self._images)
        self.resuming = ResumingSubscriber(engine, settings, self.user_id)
        stack.callback(self.resuming.close)
        self.constant = ConstantSubscriber(engine, settings, self.user_id)
        stack.callback(self.constant.close)
        self.plain = PlainSubscriber(settings.required_redis_url)
        stack.callback(self.plain.close)
        assert self.plain.subscribed.wait(20)

    def _address(self, party: str, server: str) -> str:
        """Where ``party`` reaches the server: through its proxy if it has one."""
        url = make_url((self.postgres if server == "postgres" else self.redis).url)
        proxy = self.proxies.get(f"{party}-{server}")
        return (url if proxy is None else url.set(port=proxy.port)).render_as_string(hide_password=False)

    def _settings(self, party: str) -> Settings:
        return load_settings(
            database_url=self._address(party, "postgres"),
            redis_url=self._address(party, "redis"),
            private_image_hosts=frozenset({"127.0.0.1"}),
        )

    def _supervised(self, name: str, command: Sequence[str], restart_after: float) -> Supervised:
        party = name.rstrip("0123456789")
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "DATABASE_URL": self._address(party, "postgres"),
            "REDIS_URL": self._address(party, "redis"),
            "JOBQUEUE_EXTRACTOR": "tests.faults.extractor:JournallingExtractor",
            "JOBQUEUE_PRIVATE_IMAGE_HOSTS": "127.0.0.1",
            "JOBQUEUE_LEASE_SECONDS": str(LEASE_SECONDS),
            "JOBQUEUE_RETRY_BACKOFF": "0.05",
            "JOBQUEUE_TIME_LIMIT": "5",
            "JOBQUEUE_SOFT_SHUTDOWN_SECONDS": "1",
            JOURNAL: str(self.journal),
            **steps.environment(self.plan.kills, self.kills_folder),
            **self.plan.environment,
            **mechanisms.environment(self.plan.without),
        }
        return self.supervisor.add(Supervised(name, command, environment, self.folder, restart_after))

    def submit(self, count: int, script: str | None = None) -> None:
        self.submitter.submit(count, script)

    def submitting(self, per_second: float, at_most: int = UNBOUNDED) -> AbstractContextManager[None]:
        return self.submitter.submitting(per_second, at_most)

    def until_finished(self, number: int, within: float = PATIENCE_SECONDS) -> None:
        """Wait until at least so many jobs have ended."""
        self.until(lambda: self.observer.finished() >= number, f"{number} finished jobs", within)

    def until(self, condition: Callable[[], bool], what: str, within: float = PATIENCE_SECONDS) -> None:
        """Wait for the condition, looking seldom: the processes need the processor more."""

        def look() -> bool:
            if not condition():
                time.sleep(0.05)
                return False
            return True

        eventually(look, within=within, what=what)

    def fault(self) -> None:
        """Note that one was just injected: the time to recover counts from the last one."""
        self.faults_at.append(time.time())

    def kills(self) -> list[float]:
        """When the planned kills took place."""
        return steps.happened(self.kills_folder)

    def leader(self) -> Supervised:
        """The notifier that works now."""

        def look() -> list[Supervised]:
            pid = self.observer.leader_pid()
            return [one for one in self.notifiers if one.process.pid == pid]

        return eventually(look, within=PATIENCE_SECONDS, what="a leading notifier")[0]

    def _wait_for_the_end(self) -> None:
        """Until all jobs have ended and the subscribers know it, or nothing has moved for long."""
        last, moved_at = None, time.monotonic()
        given_up_at = moved_at + self.plan.given_up_after
        while time.monotonic() < min(moved_at + self.plan.stuck_after, given_up_at):
            if self.everything_heard():
                return
            now = (sorted(self.observer.counts().items()), len(self.resuming.seen), len(self.constant.seen))
            if now != last:
                last, moved_at = now, time.monotonic()
            time.sleep(0.1)

    def _wait_for_an_empty_queue(self) -> None:
        """Messages that came twice are still to be refused."""
        deadline = time.monotonic() + SETTLED_WITHIN_SECONDS
        with redis.Redis.from_url(self.redis.url) as client:
            while client.llen("menu_extraction") and time.monotonic() < deadline:
                time.sleep(0.05)

    def finish(self, fault: str) -> Line:
        """Wait for the end, judge it, and say what the table is to show; the caller asserts on it."""
        self._wait_for_the_end()
        if not self.observer.counts():
            self.postgres.start()
        self._wait_for_an_empty_queue()
        with self.engine.connect() as connection:
            seen = [self.resuming.seen, self.constant.seen]
            submitted = dict(self.submitter.submitted)
            verdict = audit(connection, submitted, self.journal, seen, self.plan.wearing_out)
        if self.constant.failure is not None:
            verdict.blame(f"subscriber B ended with {self.constant.failure!r}")
        killed = self.kills()
        if len(killed) != len(self.plan.kills):
            verdict.blame(f"{len(killed)} of {len(self.plan.kills)} kills took place")
        heard_at = [one.at for one in self.constant.seen if one.status in FINAL]
        return _line(fault, verdict, heard_at, sorted([*self.faults_at, *killed]))

    def worker_executing(self, script: str) -> Supervised:
        """A worker that is at work on a job with this script."""

        def look() -> list[Supervised]:
            submitted = self.submitter.submitted
            return [
                worker
                for worker in self.workers
                if any(submitted[job].script == script for job in self.observer.executing_in(worker, submitted))
            ]

        return eventually(look, within=PATIENCE_SECONDS, what=f"a worker that executes {script}")[0]

    def everything_heard(self) -> bool:
        """Whether all jobs submitted so far have ended and both subscribers know it."""
        heard = min(len(subscriber.seen) for subscriber in (self.resuming, self.constant))
        return self.observer.everything_ended(len(self.submitter.submitted), heard)


def _line(fault: str, verdict: Verdict, heard_at: Sequence[float], faults_at: Sequence[float]) -> Line:
    last = faults_at[-1] if faults_at else time.time()
    after = [at for at in heard_at if at > last]
    pause = max((later - earlier for earlier, later in zip([last, *after], after, strict=False)), default=0.0)
    return Line(
        fault=fault,
        jobs=verdict.submitted,
        completed=verdict.completed,
        failed=verdict.failed,
        lost=verdict.lost,
        twice=verdict.twice,
        events=verdict.events,
        seen_a=verdict.seen[0],
        seen_b=verdict.seen[1],
        first=after[0] - last if after else None,
        pause=pause,
        all_done=after[-1] - last if after else None,
        problems=verdict.problems,
    )
