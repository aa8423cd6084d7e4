"""Two faults at once, and a minute of random ones."""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.conftest import Check, MakeWorld
from tests.faults.injections import INJECTIONS, inject

SECONDS = 60


def test_two_at_once(make_world: MakeWorld, finish: Check) -> None:
    """A worker dies in the middle of jobs and Redis loses everything; then Postgres restarts and the leader dies."""
    with make_world() as world:
        world.submit(220)
        with world.submitting(per_second=5):
            world.until_finished(15)
            worker, submitted = world.workers[0], world.submitter.submitted
            world.until(lambda: bool(world.observer.executing_in(worker, submitted)), "jobs in the worker's hands")
            worker.kill()
            world.redis.kill()
            world.redis.start()
            world.fault()
            world.until_finished(60)
            leader = world.leader()
            world.postgres.kill()
            leader.kill()
            world.postgres.start()
            world.fault()
        finish(world, "two at once: Redis and a worker, then Postgres and the leader")


@pytest.mark.long
def test_random_faults(make_world: MakeWorld, finish: Check, seed: int) -> None:
    rng = random.Random(seed)
    with make_world(wearing_out=True) as world:
        world.submit(100)
        world.until_finished(5)
        injected = []
        until = time.monotonic() + SECONDS
        with world.submitting(per_second=6):
            while time.monotonic() < until:
                injected.append(inject(world, rng.choice(sorted(INJECTIONS)), rng))
                time.sleep(rng.uniform(0.5, 3))
        finish(world, f"{len(injected)} random faults in {SECONDS} s, --fault-seed {seed}")
