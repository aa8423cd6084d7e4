"""Workers that die at every step of a job, stop, and come back too late."""

from __future__ import annotations

import signal

import pytest
import redis

from tests.faults import steps
from tests.faults.conftest import Check, MakeWorld
from tests.faults.steps import CHILD, WORKER, Kill

LONG = "work:3000,work:30"
LATE = "work:1500,work:4000"
STEPS = [
    steps.BEFORE_CLAIM,
    steps.AFTER_CLAIM,
    steps.MID_EXTRACTION,
    steps.BEFORE_COMMIT,
    steps.AFTER_COMMIT,
]


@pytest.mark.parametrize("step", STEPS, ids=steps.slug)
def test_killed_at_a_step(step: str, make_world: MakeWorld, finish: Check) -> None:
    kills = (Kill(step, 10, CHILD), Kill(step, 40, WORKER), Kill(step, 70, CHILD))
    with make_world(workers=1, notifiers=1, kills=kills) as world:
        world.submit(210)
        world.until(lambda: bool(world.kills()), "the first kill")
        world.submit(20)
        world.until(lambda: len(world.kills()) == len(kills), "the kills")
        finish(world, f"worker SIGKILL {step}")


def test_killed_before_it_acknowledges(make_world: MakeWorld, finish: Check) -> None:
    """The main process acknowledges, so it is the one to be killed; Redis delivers the messages again."""
    kills = (Kill(steps.BEFORE_ACK, 10), Kill(steps.BEFORE_ACK, 40))
    with make_world(workers=1, notifiers=1, kills=kills, environment={steps.VISIBILITY_TIMEOUT: "5"}) as world:
        world.submit(230)
        world.until(lambda: len(world.kills()) == len(kills), "the kills")
        with redis.Redis.from_url(world.redis.url) as client:
            world.until(lambda: not client.hlen("unacked") and not client.llen("menu_extraction"), "no open message")
        finish(world, f"worker SIGKILL {steps.BEFORE_ACK}")


def test_pictures_that_kill_their_worker_end_failed(make_world: MakeWorld, finish: Check) -> None:
    with make_world(notifiers=1) as world:
        world.submit(100)
        world.fault()
        world.submit(3, script="kill")
        world.submit(100)
        line = finish(world, "pictures that kill their worker every time")
        assert line.failed >= 3


def test_asked_to_stop_a_worker_finishes_what_it_has(make_world: MakeWorld, finish: Check) -> None:
    codes = []
    with make_world(notifiers=1) as world:
        world.submit(220)
        with world.submitting(per_second=5):
            for number, worker in enumerate(world.workers):
                world.until_finished(15 * (number + 1))
                stopped = worker.process
                world.fault()
                worker.signal(signal.SIGTERM)
                world.until(lambda stopped=stopped: stopped.poll() is not None, "the end of the worker")  # type: ignore[misc]
                codes.append(stopped.poll())
        finish(world, "worker SIGTERM")
        assert set(codes) == {0}
        assert world.observer.attempts_ended("WORKER_LOST") == 0


def test_asked_to_stop_soon_a_worker_puts_back_what_it_has(make_world: MakeWorld, finish: Check) -> None:
    with make_world(notifiers=1) as world:
        world.submit(8, script=LONG)
        world.submit(210)
        with world.submitting(per_second=5):
            worker = world.worker_executing(LONG)
            stopped = worker.process
            worker.signal(signal.SIGQUIT)
            world.fault()
            world.until(lambda: stopped.poll() is not None, "the end of the worker")
        finish(world, "worker SIGQUIT")
        assert world.observer.attempts_ended("WORKER_STOPPED") > 0
        assert world.observer.attempts_ended("WORKER_LOST") == 0


def test_stopped_beyond_its_lease_a_workers_late_results_are_refused(make_world: MakeWorld, finish: Check) -> None:
    """The late results come while the second attempt is at work, where only the fence tells them apart."""
    # Without a time limit: a stopped worker would exceed it.
    with make_world(notifiers=1, environment={"JOBQUEUE_TIME_LIMIT": "120"}) as world:
        world.submit(8, script=LATE)
        world.submit(210)
        stopped = world.worker_executing(LATE)
        world.fault()
        stopped.signal(signal.SIGSTOP, tree=True)
        held = world.observer.executing_in(stopped, world.submitter.submitted)
        assert held
        world.until(lambda: world.observer.taken_over(held), "second attempts elsewhere")
        stopped.signal(signal.SIGCONT, tree=True)
        finish(world, "worker SIGSTOP beyond its lease, then SIGCONT")
