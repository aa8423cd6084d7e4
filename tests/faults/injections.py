"""Faults to choose from at random: each breaks something, and mends what does not mend itself."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.faults.world import World

Injection = Callable[[World, random.Random], None]


def kill_worker(world: World, rng: random.Random) -> None:
    rng.choice(world.workers).kill()


def kill_child(world: World, rng: random.Random) -> None:
    children = rng.choice(world.workers).tree()[1:]
    if children:
        os.kill(rng.choice(children), signal.SIGKILL)


def stop_worker_kindly(world: World, rng: random.Random) -> None:
    rng.choice(world.workers).signal(signal.SIGTERM)


def stop_worker_soon(world: World, rng: random.Random) -> None:
    rng.choice(world.workers).signal(signal.SIGQUIT)


def suspend_worker(world: World, rng: random.Random) -> None:
    worker = rng.choice(world.workers)
    worker.signal(signal.SIGSTOP, tree=True)
    time.sleep(rng.uniform(0.5, 4))
    worker.signal(signal.SIGCONT, tree=True)


def kill_notifier(world: World, rng: random.Random) -> None:
    rng.choice(world.notifiers).kill()


def kill_both_notifiers(world: World, rng: random.Random) -> None:
    for notifier in world.notifiers:
        notifier.kill()


def suspend_notifier(world: World, rng: random.Random) -> None:
    notifier = rng.choice(world.notifiers)
    notifier.signal(signal.SIGSTOP)
    time.sleep(rng.uniform(0.5, 4))
    notifier.signal(signal.SIGCONT)


def kill_redis(world: World, rng: random.Random) -> None:
    world.redis.kill()
    time.sleep(rng.uniform(0, 3))
    world.redis.start()


def flush_redis(world: World, rng: random.Random) -> None:
    with redis.Redis.from_url(world.redis.url) as client:
        client.flushall()


def cut_redis_clients(world: World, rng: random.Random) -> None:
    with redis.Redis.from_url(world.redis.url) as client:
        for kind in ("normal", "pubsub"):
            client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def restart_postgres(world: World, rng: random.Random) -> None:
    world.postgres.restart()


def kill_postgres(world: World, rng: random.Random) -> None:
    world.postgres.kill()
    time.sleep(rng.uniform(0, 3))
    world.postgres.start()


def terminate_backends(world: World, rng: random.Random) -> None:
    with world.engine.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))


INJECTIONS: dict[str, Injection] = {
    "worker SIGKILL": kill_worker,
    "worker's child SIGKILL": kill_child,
    "worker SIGTERM": stop_worker_kindly,
    "worker SIGQUIT": stop_worker_soon,
    "worker SIGSTOP for a while": suspend_worker,
    "notifier SIGKILL": kill_notifier,
    "both notifiers SIGKILL": kill_both_notifiers,
    "notifier SIGSTOP for a while": suspend_notifier,
    "Redis SIGKILL": kill_redis,
    "Redis FLUSHALL": flush_redis,
    "Redis CLIENT KILL": cut_redis_clients,
    "Postgres restart": restart_postgres,
    "Postgres SIGKILL": kill_postgres,
    "Postgres pg_terminate_backend": terminate_backends,
}


def inject(world: World, name: str, rng: random.Random) -> str:
    """Do it and return its name; the observer's own connection may be hit too."""
    for _ in range(3):
        try:
            INJECTIONS[name](world, rng)
            break
        except DBAPIError:
            world.engine.dispose()
    world.fault()
    return name
