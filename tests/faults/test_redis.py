"""A Redis that loses everything, is away, or does not answer."""

from __future__ import annotations

import time

import pytest
import redis

from tests.faults.conftest import Check, MakeWorld

AWAY_SECONDS = 20


def test_killed_without_persistence(make_world: MakeWorld, finish: Check) -> None:
    with make_world(workers=1) as world:
        world.submit(220)
        with world.submitting(per_second=5):
            for number in range(1, 4):
                world.until_finished(12 * number)
                world.redis.kill()
                world.redis.start()
                world.fault()
        finish(world, "Redis SIGKILL, three times, without persistence")


def test_flushed(make_world: MakeWorld, finish: Check) -> None:
    with make_world(workers=1) as world, redis.Redis.from_url(world.redis.url) as client:
        world.submit(220)
        with world.submitting(per_second=5):
            for number in range(1, 4):
                world.until_finished(12 * number)
                client.flushall()
                world.fault()
        finish(world, "Redis FLUSHALL, three times")


@pytest.mark.long
def test_away_while_submitting(make_world: MakeWorld, finish: Check) -> None:
    with make_world(workers=1) as world:
        world.submit(200)
        world.until_finished(12)
        world.redis.kill()
        with world.submitting(per_second=8):
            time.sleep(AWAY_SECONDS)  # the fault itself
        assert world.submitter.refused == 0
        world.redis.start()
        world.fault()
        finish(world, "Redis away for 20 s while submitting")


def test_all_clients_cut_off(make_world: MakeWorld, finish: Check) -> None:
    with make_world(workers=1) as world, redis.Redis.from_url(world.redis.url) as client:
        world.submit(220)
        with world.submitting(per_second=5):
            for number in range(1, 6):
                world.until_finished(12 * number)
                for kind in ("normal", "pubsub"):
                    client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                world.fault()
        finish(world, "Redis CLIENT KILL of everybody, five times")


@pytest.mark.parametrize("party", ["worker", "notifier", "application"])
def test_half_open(party: str, make_world: MakeWorld, finish: Check) -> None:
    with make_world(workers=1, proxies=frozenset({f"{party}-redis"})) as world:
        world.submit(220)
        world.until_finished(12)
        world.proxies[f"{party}-redis"].strand()
        world.fault()
        world.submit(20)
        finish(world, f"half-open to Redis: {'subscribers' if party == 'application' else f'{party}s'}")
