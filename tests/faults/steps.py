"""Kills the process it runs in when a chosen step of a job is reached. Runs inside workers and notifiers.

The plan comes from the environment: how often a step was reached is counted over all processes of a test, and the
kills are written down, so that the test knows that they happened.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PLAN = "FAULTS_KILLS"
FOLDER = "FAULTS_KILLS_FOLDER"
# After how many seconds Redis delivers again what nobody acknowledged: a test cannot wait for an hour.
VISIBILITY_TIMEOUT = "FAULTS_VISIBILITY_TIMEOUT"
# The main process of a worker, or the notifier: children inherit it.
MAIN = "FAULTS_MAIN_PROCESS"

BEFORE_CLAIM = "before the claim"
AFTER_CLAIM = "after the claim"
MID_EXTRACTION = "in the middle of the extraction"
BEFORE_COMMIT = "before the result's commit"
AFTER_COMMIT = "after the result's commit"
BEFORE_ACK = "before the acknowledgement"
BEFORE_PUBLISH = "before publishing"
AFTER_PUBLISH = "between publishing and dispatching"
AFTER_DISPATCH = "before it records how far it published"

CHILD, WORKER = "child", "worker"


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL when ``step`` is reached for the ``at``-th time, for the child that reached it or its whole worker."""

    step: str
    at: int
    victim: str = WORKER


def environment(kills: Sequence[Kill], folder: Path) -> dict[str, str]:
    return {PLAN: json.dumps([asdict(kill) for kill in kills]), FOLDER: str(folder)}


def happened(folder: Path) -> list[float]:
    """When the kills took place (Unix time), in order."""
    log = folder / "kills"
    return [float(line) for line in log.read_text().splitlines()] if log.exists() else []


def slug(step: str) -> str:
    """The step as a name of tests and files."""
    return step.replace(" ", "-").replace("'", "")


def reached(step: str) -> None:
    """Die here if the plan says so."""
    planned = [Kill(**one) for one in json.loads(os.environ.get(PLAN, "[]")) if one["step"] == step]
    if not planned:
        return
    folder = Path(os.environ[FOLDER])
    with (folder / slug(step)).open("a+") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        counter.write("x")
        counter.flush()
        count = counter.tell()
    for kill in planned:
        if kill.at == count:
            with (folder / "kills").open("a") as log:
                log.write(f"{time.time()}\n")
            _die(kill.victim)


def _die(victim: str) -> None:
    if victim == WORKER and os.environ.get(MAIN) != str(os.getpid()):
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def put_around(owner: Any, name: str, before: str | None, after: str | None, *, with_something: bool = False) -> None:
    """Let the steps be reached around calls of ``owner.name``: all, or those whose last argument has items."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def stepping(*args: Any, **kwargs: Any) -> Any:
        if with_something and not args[-1]:
            return function(*args, **kwargs)
        if before is not None:
            reached(before)
        outcome = function(*args, **kwargs)
        if after is not None:
            reached(after)
        return outcome

    setattr(owner, name, stepping)


def install_in_worker() -> None:
    """Runs in the worker's main process before it forks, so its children have it too."""
    from kombu.transport.redis import QoS

    from worker import execution

    os.environ[MAIN] = str(os.getpid())
    put_around(execution, "claim_job", BEFORE_CLAIM, AFTER_CLAIM)
    put_around(execution, "complete_attempt", BEFORE_COMMIT, AFTER_COMMIT)
    put_around(QoS, "ack", BEFORE_ACK, None)


def install_in_notifier() -> None:
    from worker.notifier.dispatcher import Dispatcher
    from worker.notifier.publisher import Publisher

    os.environ[MAIN] = str(os.getpid())
    put_around(Publisher, "publish", BEFORE_PUBLISH, AFTER_PUBLISH, with_something=True)
    put_around(Dispatcher, "dispatch", None, AFTER_DISPATCH, with_something=True)
