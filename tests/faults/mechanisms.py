"""The mechanisms that protect the promise, each with a way to switch it off from outside.

A fault test that still passes without the mechanism it is about would prove nothing. Nothing of this is in the
product: the processes of the fault tests import this module and put something weaker in place of a function.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from tests.processes import REPOSITORY

WITHOUT = "FAULTS_WITHOUT"


def _nothing() -> None:
    """Nothing to switch off there."""


def _nothing_here(_patch: pytest.MonkeyPatch) -> None:
    """Nothing to switch off there."""


@dataclass(frozen=True)
class Mechanism:
    """``red`` are the fault tests (as for pytest's ``-k``) that must fail without it."""

    what: str
    red: str
    in_worker: Callable[[], None] = _nothing
    in_notifier: Callable[[], None] = _nothing
    in_this_process: Callable[[pytest.MonkeyPatch], None] = _nothing_here
    in_database: str | None = None


def _replace(place: str, replacement: Any) -> None:
    """Put ``replacement`` where ``module:name`` or ``module:Class.name`` is; fails when nothing is there."""
    owner, name = _find(place)
    getattr(owner, name)
    setattr(owner, name, replacement)


def _find(place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    *outer, name = path.split(".")
    return functools.reduce(getattr, outer, importlib.import_module(module)), name


def _no_reaping() -> None:
    _replace("worker.notifier.sweeper:reap_expired_leases", lambda *_details: [])


def _no_resending() -> None:
    _replace("worker.notifier.sweeper:Sweeper._send_lost_messages_again", lambda _self: None)


def _no_renewing() -> None:
    _replace("worker.lease_keeper:LeaseKeeper._renew", lambda _self, _leases: None)


def _no_fence() -> None:
    from jobqueue.tables import JOBS

    _replace(
        "jobqueue.store.completion:_held_by",
        lambda job_id, _attempt: (JOBS.c.id == job_id, JOBS.c.status == "processing"),
    )


def _claims_whatever() -> None:
    """Whoever has a message executes its job, as with a queue that has no record of its own."""
    from worker import execution

    claim = execution.claim_job  # type: ignore[attr-defined]
    take_back = text(
        "UPDATE menu_extraction_jobs SET status = 'queued', run_after = clock_timestamp(), completed_at = NULL "
        "WHERE id = :id AND status <> 'queued'"
    )

    def claim_whatever(connection: Connection, job_id: Any, **details: Any) -> Any:
        connection.execute(take_back, {"id": job_id})
        return claim(connection, job_id, **details)

    _replace("worker.execution:claim_job", claim_whatever)


def _unguarded() -> str:
    """The guard of the table without its first rule, that what is finished stays so."""
    guard = (REPOSITORY / "jobqueue" / "sql" / "guard_menu_extraction_jobs.sql").read_text()
    rule = "IF OLD.status IN ('completed', 'failed') THEN"
    assert rule in guard
    return guard.replace(rule, "IF false THEN")


def _no_cap() -> None:
    for place in ("jobqueue.store.claim", "jobqueue.store.recovery", "jobqueue.retry_policy"):
        _replace(f"{place}:MAX_ATTEMPTS", 1000)


def _cold_stop() -> None:
    """SIGTERM ends a worker at once, whatever it works on."""

    def die(_worker: Any, **_details: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_signal: os.killpg(os.getpgid(0), signal.SIGKILL))

    _replace("celery.apps.worker:install_worker_term_handler", die)


def _no_republishing() -> None:
    """A new leader takes everything that has a cursor for published: as if that were recorded before publishing."""
    from jobqueue.store.event_log import current_cursor

    _replace("worker.notifier.relay:published_cursor", current_cursor)


def _no_takeover() -> None:
    def stand_by_for_ever(self: Any, wake_up: Any) -> None:
        if not wake_up.try_lead():
            while not self._stopping:
                time.sleep(0.1)

    _replace("worker.notifier.service:Notifier._stand_by", stand_by_for_ever)


def _no_reconnecting_notifier() -> None:
    def give_up(self: Any, _error: Exception) -> None:
        while not self._stopping:
            time.sleep(0.1)

    _replace("worker.notifier.service:Notifier._pause_after", give_up)


def _no_timeouts() -> None:
    from jobqueue import redis_connection
    from worker.celery_app import app

    redis_connection.TIMEOUTS.clear()
    app.conf.broker_transport_options = {"visibility_timeout": 3600}


def _no_catching_up(patch: pytest.MonkeyPatch) -> None:
    """Subscriptions read the log when they begin, and not again after their connection broke."""
    from jobqueue.async_listener import AsyncEventStream
    from jobqueue.event_stream import EventStream

    read, read_async = EventStream._catch_up, AsyncEventStream._catch_up

    def only_once(self: Any, wait: float) -> None:
        if _begins(self):
            read(self, wait)

    async def only_once_async(self: Any) -> None:
        if _begins(self):
            await read_async(self)

    patch.setattr(EventStream, "_catch_up", only_once)
    patch.setattr(AsyncEventStream, "_catch_up", only_once_async)


def _begins(stream: Any) -> bool:
    # A subscription reads twice as it begins: at once, and when the server has confirmed it.
    stream.reads = getattr(stream, "reads", 0) + 1
    if stream.reads > 2:
        stream._must_catch_up = False
        stream._liveness.caught_up_at = time.monotonic()
    return bool(stream.reads <= 2)


def _no_probing(patch: pytest.MonkeyPatch) -> None:
    """Subscriptions trust a connection that says nothing, and never look into the log on their own."""
    from jobqueue.replay import Liveness

    for method in ("should_ping", "is_dead", "should_catch_up"):
        patch.setattr(Liveness, method, lambda _self, _now: False)


def _no_dropping(patch: pytest.MonkeyPatch) -> None:
    from jobqueue.replay import ReplayPosition

    def accept(self: ReplayPosition, event: Any) -> bool:
        self.cursor = max(self.cursor, event.cursor)
        return True

    patch.setattr(ReplayPosition, "accept", accept)


def _no_key(patch: pytest.MonkeyPatch) -> None:
    from jobqueue import JobQueueManager

    submit = JobQueueManager.submit_job
    patch.setattr(JobQueueManager, "submit_job", functools.partialmethod(submit, force=True))


MECHANISMS: dict[str, Mechanism] = {
    "reaping": Mechanism(
        "jobs whose worker stopped renewing its lease are taken back",
        "after-the-claim or middle or before-the-result or two_at_once or random",
        in_notifier=_no_reaping,
    ),
    "resending": Mechanism(
        "the messages of overdue jobs are sent again",
        "before-the-claim or without_persistence or flushed or away_while_submitting or two_at_once",
        in_notifier=_no_resending,
    ),
    "renewing": Mechanism("workers renew their leases while they work", "kindly or backends", in_worker=_no_renewing),
    "fencing": Mechanism("writes carry the number of their attempt", "late_results", in_worker=_no_fence),
    "status": Mechanism(
        "only a queued job can be claimed, and what is finished stays so",
        "after-the-result or acknowledgement",
        in_worker=_claims_whatever,
        in_database=_unguarded(),
    ),
    "cap": Mechanism(
        "an attempt counts when it is claimed, and there are four",
        "pictures_that_kill",
        in_worker=_no_cap,
        in_notifier=_no_cap,
    ),
    "warm-stop": Mechanism("a worker that is asked to stop ends its work", "asked_to_stop", in_worker=_cold_stop),
    "republishing": Mechanism(
        "a new leader publishes again what the last one may not have",
        "before-publishing or both_killed",
        in_notifier=_no_republishing,
    ),
    "takeover": Mechanism("a notifier that stands by takes over", "other_takes_over", in_notifier=_no_takeover),
    "notifier-reconnecting": Mechanism(
        "a notifier begins again after a broken connection",
        "test_restarted or test_away or backends or without_persistence or clients_cut",
        in_notifier=_no_reconnecting_notifier,
    ),
    "timeouts": Mechanism(
        "workers and notifiers do not wait for Redis without bound",
        "test_redis and half_open and (worker or notifier)",
        in_worker=_no_timeouts,
        in_notifier=_no_timeouts,
    ),
    "catching-up": Mechanism(
        "subscribers read the log after their connection broke",
        "clients_cut or without_persistence",
        in_this_process=_no_catching_up,
    ),
    "probing": Mechanism(
        "subscribers ask a silent connection for a sign of life",
        "half_open and application",
        in_this_process=_no_probing,
    ),
    "dropping": Mechanism(
        "subscribers drop what they were given already",
        "before-it-records or between-publishing",
        in_this_process=_no_dropping,
    ),
    "key": Mechanism("a submission that is repeated finds the first one", "between_commit", in_this_process=_no_key),
}


def switch_off_from_environment(party: str) -> None:
    """In a worker or notifier of a test that runs ``--without`` something."""
    without = os.environ.get(WITHOUT)
    if without:
        mechanism = MECHANISMS[without]
        (mechanism.in_worker if party == "worker" else mechanism.in_notifier)()


def switch_off_in_database(without: str | None, engine: Engine) -> None:
    statement = None if without is None else MECHANISMS[without].in_database
    if statement is not None:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)


@contextmanager
def switched_off_here(without: str | None) -> Iterator[None]:
    """For what the test's own process does: submitting and listening."""
    with pytest.MonkeyPatch.context() as patch:
        if without is not None:
            MECHANISMS[without].in_this_process(patch)
        yield
