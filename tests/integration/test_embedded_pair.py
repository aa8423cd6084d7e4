"""The test run's own pair of servers."""

from __future__ import annotations

import os
from contextlib import closing

import psycopg2
import redis


def test_the_runs_postgres_lets_its_user_create_databases(postgres_url: str) -> None:
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (True,)


def test_the_runs_valkey_answers_in_this_workers_database(valkey_url: str) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    with redis.Redis.from_url(valkey_url) as client:
        assert int(client.client_info()["db"]) == int(worker)
