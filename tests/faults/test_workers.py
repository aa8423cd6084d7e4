"""Workers that die at every step of a job, stop, and come back too late."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import steps
from tests.faults.conftest import Check
from tests.faults.steps import CHILD, WORKER, Kill
from tests.faults.world import World

MakeWorld = Callable[..., World]

STEPS = [
    steps.BEFORE_CLAIM,
    steps.AFTER_CLAIM,
    steps.MID_EXTRACTION,
    steps.BEFORE_COMMIT,
    steps.AFTER_COMMIT,
    steps.BEFORE_ACK,
]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at(step: str, make_world: MakeWorld, finish: Check) -> None:
    """Twice a child, twice a whole worker."""
    victims = (WORKER, WORKER, WORKER) if step == steps.BEFORE_ACK else (CHILD, WORKER, CHILD)
    kills = tuple(Kill(step, at, victim) for at, victim in zip((20, 60, 100), victims, strict=True))
    with make_world(kills=kills) as world:
        world.submit(210)
        with world.submitting(per_second=20):
            world.until_finished(100)
        finish(world, f"worker SIGKILL {step}")
