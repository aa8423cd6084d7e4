"""The mechanisms that protect the promise, each with a way to switch it off from outside.

A fault test that still passes without the mechanism it is about would prove nothing. Nothing of this is in the
product: the processes of the fault tests import this module and put something weaker in place of a function.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    environment: Mapping[str, str] = field(default_factory=dict)


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
    _replace("worker.notifier.sweeper:Sweeper._reap", lambda _self: None)


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

    def resume_from_the_end(self: Any) -> None:
        self.look_after_redis()
        self._published = self._database.statement(current_cursor)

    _replace("worker.notifier.relay:Relay.resume", resume_from_the_end)


def _no_takeover() -> None:
    """Whoever finds another one leading stands by for ever."""
    from jobqueue.store.leadership import take_lead

    refused: list[bool] = []

    def take_only_at_once(*details: Any, **more: Any) -> Any:
        lead = None if refused else take_lead(*details, **more)
        if lead is None:
            refused.append(True)
        return lead

    _replace("worker.notifier.service:take_lead", take_only_at_once)


def _no_timeouts_and_no_takeover() -> None:
    """The lead of a notifier that hangs ends, so that either of the two is enough."""
    _no_timeouts()
    _no_takeover()


def _no_deadline_in_notifier() -> None:
    _replace("worker.notifier.service:limit_waits", lambda: None)


def _no_deadline_in_worker() -> None:
    _replace("worker.postgres_deadline:DeadlineConnection.answer_within", None)


def _no_putting_back() -> None:
    _replace("worker.consumer:_put_back", lambda _workers: None)


def _no_reconnecting_notifier() -> None:
    def give_up(_self: Any, _error: Exception) -> None:
        signal.pause()

    _replace("worker.notifier.outage_log:OutageLog.failed", give_up)


def _no_timeouts() -> None:
    from jobqueue import redis_connection
    from worker.celery_app import app

    # Not left out: redis-py has defaults of its own.
    redis_connection.TIMEOUTS["socket_timeout"] = None
    if "worker.notifier.service" in sys.modules:
        sys.modules["worker.notifier.service"].REDIS_TIMEOUTS["socket_timeout"] = None
    app.conf.broker_transport_options = {"visibility_timeout": 3600}


def _no_catching_up(patch: pytest.MonkeyPatch) -> None:
    """Subscriptions read the log when they begin; afterwards they believe messages alone."""
    from jobqueue.events import JobEvent
    from jobqueue.replay import Feed, Liveness

    lost, received = Feed.lost, Feed.received

    def take(self: Any, payload: bytes) -> None:
        self._accept(JobEvent.from_json(payload))

    def lost_and_forgotten(self: Any, reason: str, now: float) -> None:
        lost(self, reason, now)
        self._must_read, self.was_lost = False, True

    def received_and_forgotten(self: Any, message: Any, now: float) -> bool:
        to_ping = received(self, message, now)
        if getattr(self, "was_lost", False):
            self._must_read = False
        return to_ping

    patch.setattr(Feed, "_take", take)
    patch.setattr(Feed, "lost", lost_and_forgotten)
    patch.setattr(Feed, "received", received_and_forgotten)
    patch.setattr(Liveness, "should_catch_up", lambda _self, _now: False)


def _no_probing(patch: pytest.MonkeyPatch) -> None:
    """Subscriptions trust a connection that says nothing, and never look into the log on their own."""
    from jobqueue.replay import Liveness

    for method in ("silent", "should_catch_up"):
        patch.setattr(Liveness, method, lambda _self, _now: False)


def _no_dropping(patch: pytest.MonkeyPatch) -> None:
    from jobqueue.events import JobEvent
    from jobqueue.replay import Feed

    def accept(self: Any, event: Any) -> None:
        self._position = max(self._position, event.cursor)
        self.ready.append(event)

    def take(self: Any, payload: bytes) -> None:
        self._accept(JobEvent.from_json(payload))

    patch.setattr(Feed, "_accept", accept)
    patch.setattr(Feed, "_take", take)


def _no_key(patch: pytest.MonkeyPatch) -> None:
    from jobqueue import JobQueueManager

    submit = JobQueueManager.submit_job
    patch.setattr(JobQueueManager, "submit_job", functools.partialmethod(submit, force=True))


MECHANISMS: dict[str, Mechanism] = {
    "reaping": Mechanism(
        "jobs whose worker stopped renewing its lease are taken back",
        "after-the-claim or middle or before-the-result or two_at_once",
        in_notifier=_no_reaping,
    ),
    "resending": Mechanism(
        "the messages of overdue jobs are sent again",
        "before-the-claim or without_persistence or flushed or away_while_submitting or two_at_once or random",
        in_notifier=_no_resending,
    ),
    "renewing": Mechanism("workers renew their leases while they work", "backends", in_worker=_no_renewing),
    "fencing": Mechanism("writes carry the number of their attempt", "late_results", in_worker=_no_fence),
    "status": Mechanism(
        "only a queued job can be claimed, and what is finished stays so",
        "after-the-result or before_it_acknowledges",
        in_worker=_claims_whatever,
        in_database=_unguarded(),
    ),
    "cap": Mechanism(
        "an attempt counts when it is claimed, and there are four",
        "pictures_that_kill",
        in_worker=_no_cap,
        in_notifier=_no_cap,
    ),
    "warm-stop": Mechanism("a worker that is asked to stop ends its work", "finishes_what", in_worker=_cold_stop),
    "putting-back": Mechanism(
        "a worker that must stop soon puts its jobs back", "puts_back", in_worker=_no_putting_back
    ),
    "republishing": Mechanism(
        "a new leader publishes again what the last one may not have",
        "before-publishing or both_killed",
        in_notifier=_no_republishing,
    ),
    "takeover": Mechanism("a notifier that stands by takes over", "other_takes_over", in_notifier=_no_takeover),
    "notifier-reconnecting": Mechanism(
        "a notifier begins again after a broken connection",
        "test_restarted or test_away or backends",
        in_notifier=_no_reconnecting_notifier,
    ),
    "timeouts": Mechanism(
        "workers and notifiers do not wait for Redis without bound",
        "test_redis and half_open and (worker or notifier)",
        in_worker=_no_timeouts,
        in_notifier=_no_timeouts_and_no_takeover,
    ),
    "deadline": Mechanism(
        "nobody waits for Postgres without bound",
        "test_postgres and half_open",
        in_worker=_no_deadline_in_worker,
        # Nor for the time limit, which ends a child that hangs.
        environment={"JOBQUEUE_TIME_LIMIT": "1800"},
        in_notifier=_no_deadline_in_notifier,
    ),
    "catching-up": Mechanism(
        "subscribers read the log after their connection broke",
        "clients_cut",
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


def environment(without: str | None) -> dict[str, str]:
    """What the processes of a test are started with beside their settings."""
    return {} if without is None else {WITHOUT: without, **MECHANISMS[without].environment}


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
            connection.exec_driver_sql(statement.replace("%", "%%"))


@contextmanager
def switched_off_here(without: str | None) -> Iterator[None]:
    """For what the test's own process does: submitting and listening."""
    with pytest.MonkeyPatch.context() as patch:
        if without is not None:
            MECHANISMS[without].in_this_process(patch)
        yield
