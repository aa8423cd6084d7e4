"""A Postgres that is restarted, away, or does not answer."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from tests.faults.conftest import Check, MakeWorld

AWAY_SECONDS = 20


@pytest.mark.parametrize("how", ["restart", "SIGKILL"])
def test_restarted(how: str, make_world: MakeWorld, finish: Check) -> None:
    with make_world(workers=1) as world:
        world.submit(220)
        with world.submitting(per_second=5):
            for number in range(1, 3):
                world.until_finished(15 * number)
                if how == "restart":
                    world.postgres.restart()
                else:
                    world.postgres.kill()
                    world.postgres.start()
                world.fault()
        finish(world, f"Postgres {how}, twice")


@pytest.mark.long
def test_away(make_world: MakeWorld, finish: Check) -> None:
    """Who submits is told so, tries again, and makes no job twice by it."""
    with make_world(workers=1) as world:
        world.submit(220)
        with world.submitting(per_second=5):
            world.until_finished(12)
            world.postgres.kill()
            time.sleep(AWAY_SECONDS)  # the fault itself
            refused = world.submitter.refused
            world.postgres.start()
            world.fault()
            world.until_finished(100)
        finish(world, "Postgres away for 20 s")
        assert refused > 0


def test_backends_terminated(make_world: MakeWorld, finish: Check) -> None:
    with make_world(workers=1) as world:
        world.submit(220)
        with world.submitting(per_second=5):
            for number in range(1, 6):
                world.until_finished(12 * number)
                with world.engine.connect() as connection:
                    connection.execute(
                        text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
                    )
                world.fault()
        finish(world, "Postgres pg_terminate_backend of everybody, five times")


def test_cut_between_commit_and_answer(make_world: MakeWorld, finish: Check) -> None:
    """Nobody can know then whether a submission took place; trying again finds it."""
    with make_world(workers=1, proxies=frozenset({"application-postgres"})) as world:
        proxy = world.proxies["application-postgres"]
        world.submit(200)
        world.fault()
        for _ in range(20):
            proxy.swallow_next_answer_to(b"COMMIT\0")
            world.submit(1)
        assert proxy.swallowed == 20
        finish(world, "submitter cut off between COMMIT and its answer, 20 times")


@pytest.mark.parametrize("party", ["worker", "notifier"])
def test_half_open(party: str, make_world: MakeWorld, finish: Check) -> None:
    with make_world(workers=1, proxies=frozenset({f"{party}-postgres"})) as world:
        world.submit(220)
        world.until_finished(12)
        world.proxies[f"{party}-postgres"].strand()
        world.fault()
        world.submit(20)
        finish(world, f"half-open to Postgres: {party}s")
