"""Notifiers that die or stop, one or both, at any step of a round."""

from __future__ import annotations

import signal

import pytest

from tests.faults import steps
from tests.faults.conftest import Check, MakeWorld
from tests.faults.steps import WORKER, Kill
from tests.faults.world import World

# Five seconds are promised; the machine may have much else to do.
TAKEN_OVER_WITHIN_SECONDS = 8.0
# Longer than that: it is the other notifier that must save the day.
RESTART_AFTER_SECONDS = 20.0


def saw_everything_live(world: World) -> None:
    """While Redis lived, whoever listened to it alone saw everything, at least once."""
    seen = {(one.job_id, one.seq) for one in world.plain.seen}
    everything = {(one.job_id, one.seq) for one in world.constant.seen}
    assert seen == everything, f"{len(everything - seen)} events were never published"


@pytest.mark.parametrize("step", [steps.BEFORE_PUBLISH, steps.AFTER_PUBLISH, steps.AFTER_DISPATCH], ids=steps.slug)
def test_killed_at_a_step(step: str, make_world: MakeWorld, finish: Check) -> None:
    kills = tuple(Kill(step, at, WORKER) for at in (3, 12, 24))
    with make_world(workers=1, kills=kills) as world:
        world.submit(210)
        with world.submitting(per_second=10):
            world.until(lambda: len(world.kills()) == len(kills), "the kills")
        finish(world, f"notifier SIGKILL {step}")
        saw_everything_live(world)


def test_the_leader_killed_the_other_takes_over(make_world: MakeWorld, finish: Check) -> None:
    with make_world(workers=1, restart_notifier_after=RESTART_AFTER_SECONDS) as world:
        world.submit(220)
        world.until_finished(15)
        world.leader().kill()
        world.fault()
        world.submit(20)
        line = finish(world, "notifier SIGKILL")
        saw_everything_live(world)
        assert line.pause < TAKEN_OVER_WITHIN_SECONDS


def test_both_killed(make_world: MakeWorld, finish: Check) -> None:
    """The first dies between numbering events and publishing them, the second right after it."""
    with make_world(workers=1, kills=(Kill(steps.BEFORE_PUBLISH, 10),), restart_notifier_after=2.0) as world:
        world.submit(220)
        with world.submitting(per_second=10):
            world.until(lambda: bool(world.kills()), "the first kill")
            for notifier in world.notifiers:
                notifier.kill()
            world.fault()
            world.submit(10)
        finish(world, "both notifiers SIGKILL")
        saw_everything_live(world)


def test_the_leader_stopped_the_other_takes_over(make_world: MakeWorld, finish: Check) -> None:
    """It goes on in the middle of a round when the other has led for long, and does no harm."""
    with make_world(workers=1) as world:
        world.submit(220)
        world.until_finished(15)
        stopped = world.leader()
        stopped.signal(signal.SIGSTOP)
        world.fault()
        world.submit(20)
        world.until(world.everything_heard, "the end of all jobs while the notifier is stopped")
        stopped.signal(signal.SIGCONT)
        world.submit(20)
        line = finish(world, "notifier SIGSTOP, then SIGCONT")
        assert line.pause < TAKEN_OVER_WITHIN_SECONDS
