"""Says in the database that this worker lives, whether it consumes and whether it stops, from its main process.

A worker that answers pings may consume nothing. What it says here is judged beside the jobs that wait.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

from celery import Celery, bootsteps, signals
from celery.worker import state
from sqlalchemy.pool import NullPool

from jobqueue.database import Database
from jobqueue.errors import JobQueueError
from jobqueue.settings import load_settings
from jobqueue.store.workers import record_worker, remove_worker
from worker.postgres_deadline import deadline_engine

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
# What changes in between is said at once.
LOOKS_EVERY_SECONDS = 0.2
LEAVING_SECONDS = 3.0
# The event loop turns at least every two seconds, because heartbeat events are that frequent. It stands still while one
# of them waits for a broker that is away (Celery 5.6.3 retries inside the loop), and whenever the main process hangs.
LOOP_STANDS_STILL_AFTER_SECONDS = 10.0

# Children are forked whenever one has died. One that was forked in the middle of a statement would inherit the open
# connection and locks that nobody releases there. A statement that hangs must not keep the worker from forking, though.
_quiet = threading.Lock()
_FORK_WAITS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Condition:
    consuming: bool
    stopping: bool


_NOT_YET = Condition(consuming=False, stopping=False)


class Presence:
    """One thread; its connection lives for one statement at a time, so children have no part in it."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._name: str = worker.hostname
        engine = deadline_engine(load_settings().required_database_url, poolclass=NullPool)
        self._database = Database(engine)
        self._received_at: float | None = None
        self._turned_at = time.monotonic()
        self._soft_shutdown = False
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def begin(self) -> None:
        signals.task_received.connect(self._on_message, weak=False)
        if self._worker.hub is not None:
            self._worker.hub.on_tick.add(self._on_turn)
        # Celery sends no signal before the soft shutdown is over, and its event loop sleeps through it.
        self._wait_for_soft_shutdown = self._worker.wait_for_soft_shutdown
        self._worker.wait_for_soft_shutdown = self._on_soft_shutdown
        self._thread.start()

    def leave(self) -> None:
        """Take the row away, unless the database is away; returns within a few seconds."""
        self._leaving.set()
        if self._thread.is_alive():
            self._thread.join(LEAVING_SECONDS)

    def _on_message(self, **_details: Any) -> None:
        self._received_at = time.monotonic()

    def _on_turn(self) -> None:
        self._turned_at = time.monotonic()

    def _on_soft_shutdown(self) -> None:
        self._soft_shutdown = True
        self._wait_for_soft_shutdown()

    def _condition(self) -> Condition:
        # In this order: a worker that consumes no more because it stops has said before that it stops.
        consuming = is_consuming(self._worker) and self._loop_turns()
        return Condition(consuming, self._soft_shutdown or is_stopping(self._worker))

    def _loop_turns(self) -> bool:
        return self._worker.hub is None or time.monotonic() - self._turned_at < LOOP_STANDS_STILL_AFTER_SECONDS

    def _run(self) -> None:
        begins, silent = True, False
        # A worker that starts has no consumer for a moment, which is nothing to tell of.
        self._pause(_NOT_YET)
        while not self._leaving.is_set():
            condition = self._condition()
            try:
                self._tell(condition, begins=begins)
            except JobQueueError as error:
                if not silent:
                    log.warning("The database does not hear that this worker lives (%s); trying again.", error)
                silent = True
            else:
                if silent:
                    log.info("The database hears again that this worker lives.")
                begins, silent = False, False
            self._pause(condition)
        try:
            self._write(lambda connection: remove_worker(connection, self._name))
        except JobQueueError as error:
            log.debug("The row of this worker stays for an hour: %s", error)

    def _pause(self, said: Condition) -> None:
        """Wait for the next time to speak, or for something else to say."""
        until = time.monotonic() + EVERY_SECONDS
        while time.monotonic() < until and self._condition() == said and not self._leaving.wait(LOOKS_EVERY_SECONDS):
            pass

    def _tell(self, condition: Condition, *, begins: bool) -> None:
        received_age = None if self._received_at is None else time.monotonic() - self._received_at
        self._write(
            lambda connection: record_worker(
                connection,
                self._name,
                begins=begins,
                consuming=condition.consuming,
                stopping=condition.stopping,
                received_age=received_age,
            )
        )

    def _write(self, work: Any) -> None:
        with _quiet:
            self._database.run(work)


def is_consuming(worker: Any) -> bool:
    """Whether the worker holds a live connection to the broker and a consumer on it."""
    consumer = worker.consumer
    if consumer is None or consumer.blueprint.state != bootsteps.RUN:
        return False
    # After a broken connection the consumer's steps start anew; the first waits for the broker, the last is the loop.
    return bool(consumer.blueprint.started == len(consumer.steps) and consumer.connection)


def is_stopping(worker: Any) -> bool:
    """Whether the worker was asked to stop and takes no more messages."""
    asked = any(flag is not None and flag is not False for flag in (state.should_stop, state.should_terminate))
    consumer = worker.consumer
    return asked or (consumer is not None and consumer.blueprint.state in (bootsteps.CLOSE, bootsteps.TERMINATE))


class PresenceStep(bootsteps.StartStopStep):  # type: ignore[misc] # Celery ships no types
    """Begins after the pool's children were forked; a warm shutdown leaves it running until the last job is done."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        worker.presence = None
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        worker.presence = Presence(worker)
        worker.presence.begin()

    def stop(self, worker: Any) -> None:
        """Nothing yet: ``worker_shutdown`` comes when the pool has ended too."""

    def terminate(self, worker: Any) -> None:
        leave(worker)


def leave(worker: Any) -> None:
    """Take the worker's row away if it has one."""
    if worker.presence is not None:
        worker.presence.leave()


def install_presence(app: Celery) -> None:
    """Let every worker that is started for ``app`` say that it lives."""
    app.steps["worker"].add(PresenceStep)

    def on_shutdown(sender: Any, **_details: Any) -> None:
        if sender.app is app and hasattr(sender, "presence"):
            leave(sender)

    signals.worker_shutdown.connect(on_shutdown, weak=False)


def _before_fork() -> None:
    _held.append(_quiet.acquire(timeout=_FORK_WAITS_SECONDS))


def _after_fork() -> None:
    if _held.pop():
        _quiet.release()


_held: list[bool] = []
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
