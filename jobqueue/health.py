"""Judging the queue by what happens to its jobs, not by whether its processes answer: a worker that answers pings and
takes no message, and a notifier that runs and relays nothing, are found out here.
"""

from __future__ import annotations

from dataclasses import dataclass

# A worker reports itself every 5 s, the leading notifier renews its lead every second or so, the sweeper runs every
# second: each bound leaves room for a slow moment and for a restart.
WORKER_SILENT_SECONDS = 30.0
UNLED_SECONDS = 10.0
RELAY_LAG_SECONDS = 15.0
SWEEP_LAG_SECONDS = 30.0
ORPHANED_SECONDS = 15.0
# With jobs waiting, a free worker takes the next message at once.
IDLE_WORKER_SECONDS = 60.0
MAX_QUEUE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class WorkerPresence:
    """What a worker last said of itself; ages in seconds.

    ``consuming`` is false while it has no broker connection; a worker that is ``stopping`` was asked to and takes no
    more; ``received_ago`` is the age of its last message, or its own while it has had none; ``holds`` counts the jobs
    in its hands.
    """

    name: str
    seen_ago: float
    consuming: bool
    stopping: bool
    received_ago: float
    holds: int

    @property
    def is_there(self) -> bool:
        return self.seen_ago <= WORKER_SILENT_SECONDS

    @property
    def is_idle(self) -> bool:
        return self.consuming and not self.holds and self.received_ago > IDLE_WORKER_SECONDS


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue at one moment; ages in seconds, ``None`` where there is nothing that could have one.

    ``due`` counts jobs that wait for a worker, not those that wait for their next attempt; a long backlog is counted
    up to 10,000. ``unled_for`` is how long no notifier has led (``None`` also if none ever did), ``orphaned_for`` how
    long the oldest job of a dead worker has not been taken back.
    """

    due: int
    oldest_due: float | None
    processing: int
    orphaned_for: float | None
    oldest_unrelayed: float | None
    leader: str | None
    led: bool
    unled_for: float | None
    swept_ago: float | None
    workers: tuple[WorkerPresence, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """``code`` is for programs; ``message`` says what is wrong and what to do."""

    code: str
    message: str


def assess(state: QueueState, max_queue_seconds: float = MAX_QUEUE_SECONDS) -> list[Problem]:
    """What is wrong, the cause before its consequences; empty when all is well."""
    problems = [*_of_the_notifier(state), *_of_the_workers(state)]
    if not problems and (state.oldest_due or 0) > max_queue_seconds:
        message = f"{_count(state.due, 'job')} due, the oldest for {_age(state.oldest_due)}: start more workers."
        return [Problem("QUEUE_LONG", message)]
    return problems


def assess_worker(state: QueueState, name: str) -> list[Problem]:
    """What is wrong with this one worker, for the health check of its container."""
    worker = next((worker for worker in state.workers if worker.name == name), None)
    if worker is None:
        return [Problem("NO_WORKER", f"There is no worker {name}.")]
    if not worker.is_there:
        return [Problem("NO_WORKER", f"{name} has not been heard of for {_age(worker.seen_ago)}.")]
    if worker.stopping:
        return []
    if not worker.consuming:
        return [_cut_off(name)]
    if worker.is_idle and _work_is_on_offer(state):
        return [_idle(name, state)]
    return []


def _of_the_notifier(state: QueueState) -> list[Problem]:
    if not state.led:
        if state.unled_for is not None and state.unled_for <= UNLED_SECONDS:
            return []  # one hands over to the next
        since = "" if state.unled_for is None else f" and none has for {_age(state.unled_for)}"
        message = f"No notifier works{since}: no job gets to a worker, nothing is announced. Start `jobqueue notifier`."
        return [Problem("NO_NOTIFIER", message)]
    problems = []
    if (lag := state.oldest_unrelayed or 0) > RELAY_LAG_SECONDS:
        message = f"The oldest change has not been announced for {_age(lag)}: see the notifier's log."
        problems.append(Problem("RELAY_LAGS", message))
    if state.swept_ago is None or state.swept_ago > SWEEP_LAG_SECONDS:
        last = "has not run yet" if state.swept_ago is None else f"last ran {_age(state.swept_ago)} ago"
        message = f"The sweeper {last}, so jobs of dead workers and lost messages stay: see the notifier's log."
        problems.append(Problem("SWEEPER_LAGS", message))
    elif (orphaned := state.orphaned_for or 0) > ORPHANED_SECONDS:
        message = f"A dead worker's job has not been taken back for {_age(orphaned)}: see the notifier's log."
        problems.append(Problem("JOBS_ORPHANED", message))
    return problems


def _of_the_workers(state: QueueState) -> list[Problem]:
    there = [worker for worker in state.workers if worker.is_there and not worker.stopping]
    if not there:
        return [
            Problem("NO_WORKER", f"No worker runs, {_count(state.due, 'job')} due: start `celery -A worker worker`.")
        ]
    problems = []
    if cut_off := [worker for worker in there if not worker.consuming]:
        problems.append(_cut_off(f"{_count(len(cut_off), 'worker')} of {len(there)}"))
    if (idle := [worker for worker in there if worker.is_idle]) and _work_is_on_offer(state):
        problems.append(_idle(f"{_count(len(idle), 'worker')} of {len(there)}", state))
    return problems


def _work_is_on_offer(state: QueueState) -> bool:
    """A worker is not to blame where nobody hands out work."""
    waited = state.oldest_due or 0
    return waited > IDLE_WORKER_SECONDS and state.led and (state.oldest_unrelayed or 0) <= RELAY_LAG_SECONDS


def _cut_off(who: str) -> Problem:
    return Problem("WORKERS_CUT_OFF", f"Cut off from the message broker and taking no work: {who}.")


def _idle(who: str, state: QueueState) -> Problem:
    waited = _age(state.oldest_due)
    return Problem("WORKERS_IDLE", f"Alive but taking no work although a job has waited for {waited}: {who}; restart.")


def _age(seconds: float | None) -> str:
    seconds = seconds or 0
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
