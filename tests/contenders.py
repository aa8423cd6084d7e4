"""Real processes that call the library at the same time, or stop in the middle of a call until they are killed."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, event

from jobqueue import JobQueueError, JobQueueManager
from jobqueue.database import Database, create_database_engine
from jobqueue.settings import load_settings
from jobqueue.store.claim import claim_job

# A server that has imported everything forks them, so each begins within milliseconds and shares nothing with the test.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.contenders"])
SECONDS = 60
THREADS = 8

Call = tuple[str, tuple[Any, ...]]


def race(database_url: str, calls: Sequence[Call], processes: int = 8) -> list[Any]:
    """Make the calls (method of the manager, arguments) at once, spread over ``processes``; what each came to.

    An error comes back as the outcome. ``claim`` is a worker's claim of a job.
    """
    shares = [list(calls[number::processes]) for number in range(processes)]
    start = CONTEXT.Barrier(processes)
    runners = []
    for share in shares:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=_take_part, args=(theirs, start, database_url, share))
        process.start()
        theirs.close()
        runners.append((process, ours))
    outcomes: list[Any] = [None] * len(calls)
    for number, (process, pipe) in enumerate(runners):
        assert pipe.poll(SECONDS), "a process gave no answer"
        outcomes[number::processes] = pipe.recv()
        process.join(SECONDS)
    return outcomes


def _take_part(pipe: Connection, start: Any, database_url: str, calls: Sequence[Call]) -> None:
    engine = create_database_engine(database_url, pool_size=THREADS)
    manager = JobQueueManager(engine, settings=load_settings(database_url=database_url))
    with ThreadPoolExecutor(THREADS) as threads:
        _open_connections(engine, len(calls))
        start.wait(SECONDS)
        pipe.send(list(threads.map(lambda call: _outcome(engine, manager, call), calls)))
    engine.dispose()


def _open_connections(engine: Engine, number: int) -> None:
    for connection in [engine.connect() for _ in range(min(number, THREADS))]:
        connection.close()


def _outcome(engine: Engine, manager: JobQueueManager, call: Call) -> Any:
    name, arguments = call
    try:
        if name == "claim":
            racer = uuid4().hex
            return Database(engine).statement(lambda c: claim_job(c, *arguments, worker=racer, lease_seconds=60))
        return getattr(manager, name)(*arguments)
    except JobQueueError as error:
        return error


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process that stopped before ``next_step``: a statement, ``COMMIT``, or ``RETURN`` when all is committed."""

    process: ForkServerProcess
    next_step: str

    @property
    def has_finished(self) -> bool:
        return self.next_step == "RETURN"

    def kill(self) -> None:
        self.process.kill()
        self.process.join(SECONDS)


@contextmanager
def stopped(database_url: str, call: Call, step: int) -> Iterator[Stopped]:
    """A process that makes the call and stops for good before its ``step``-th step."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_stop, args=(theirs, database_url, call, step))
    process.start()
    theirs.close()
    try:
        assert ours.poll(SECONDS), "the process did not come to its stop"
        yield Stopped(process, ours.recv())
    finally:
        process.kill()
        process.join(SECONDS)


def _stop(pipe: Connection, database_url: str, call: Call, stop_at: int) -> None:
    engine = create_database_engine(database_url)
    manager = JobQueueManager(engine, settings=load_settings(database_url=database_url))
    _open_connections(engine, 1)
    steps = itertools.count(1)

    def step(what: str) -> None:
        if next(steps) == stop_at:
            pipe.send(what)
            signal.pause()

    @event.listens_for(engine, "before_cursor_execute")
    def _before_statement(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        step(statement)

    @event.listens_for(engine, "commit")
    def _before_commit(_connection: Any) -> None:
        step("COMMIT")

    getattr(manager, call[0])(*call[1])
    pipe.send("RETURN")
    signal.pause()
