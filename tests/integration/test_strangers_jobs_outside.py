"""Nobody sees or changes another's job through a route or a command: the same test as for the calls of the library."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import click
import httpx
import pytest
from fastapi.routing import APIRoute

from jobqueue import Settings
from jobqueue.api import create_app
from jobqueue.cli.main import main
from tests.api_server import api_client, bearer, token, with_secret
from tests.command_line import CommandLine
from tests.strangers import Job, World, alike, nobodys

PATHS: dict[str, dict[str, Any]] = {
    "POST /api/extraction/submit": {"json": {"imageUrl": "http://127.0.0.1:1/never-answers.png"}},
    "GET /api/extraction/status/{jobId}": {},
    "POST /api/extraction/retry/{jobId}": {},
    "POST /api/extraction/cancel/{jobId}": {},
    "GET /api/extraction/jobs": {"params": {"before": "{jobId}", "limit": 100}},
    "GET /api/extraction/quota": {},
}
WITHOUT_SIGNING_IN = {"GET /health"}


def routes(settings: Settings) -> set[str]:
    """Of the application, those of the routers it includes too."""
    document = create_app(settings).openapi()
    return {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}


def test_every_route_is_in_a_table(settings: Settings) -> None:
    assert routes(with_secret(settings)) == PATHS.keys() | WITHOUT_SIGNING_IN
    hidden = [one.path for one in create_app(with_secret(settings)).routes if isinstance(one, APIRoute)]
    assert {path.rpartition(" ")[2] for path in WITHOUT_SIGNING_IN} >= set(hidden)


@pytest.mark.parametrize("route", PATHS)
def test_a_route_tells_a_stranger_nothing(world: World, settings: Settings, route: str) -> None:
    method, path = route.split()
    before = world.rows()
    told: dict[str, set[str]] = {"bob": set(), "alice": set()}
    with api_client(with_secret(settings)) as client:
        for who, jobs in (("bob", [*world.hers(), nobodys()]), ("alice", world.hers())):
            for job in jobs:
                user = world.alice if who == "alice" else world.stranger_with_a_job()
                told[who].add(alike(asked(client, method, path, PATHS[route], job, user, world), job, user))
            if who == "bob":
                assert world.rows() == before
    assert len(told["bob"]) == 1
    if "imageUrl" not in str(PATHS[route]):
        assert not told["alice"] <= told["bob"]


def asked(
    client: httpx.Client, method: str, path: str, options: dict[str, Any], job: Job, user: UUID, world: World
) -> str:
    filled = json.loads(json.dumps(options).replace("{jobId}", str(job.id)))
    got = client.request(method, path.replace("{jobId}", str(job.id)), headers=bearer(token(user)), **filled)
    headers = sorted(f"{name}: {value}" for name, value in got.headers.items() if name != "date")
    said = f"{got.status_code} {headers} {got.text}"
    if user != world.alice:
        assert [trace for trace in world.traces(job) if trace in said] == []
    return said


COMMANDS: dict[str, list[str]] = {
    "submit": ["http://127.0.0.1:1/never-answers.png"],
    "status": ["{job}"],
    "watch": ["{job}", "--timeout", "0.01"],
    "list": ["--before", "{job}", "--limit", "1000"],
    "retry": ["{job}"],
    "cancel": ["{job}"],
    "quota": [],
    "history": ["{job}"],
}
COMMANDS_OF_OPERATORS = {"demo", "up", "migrate", "notifier", "api", "stats", "health", "prune", "explain"}


def test_every_command_is_in_a_table() -> None:
    assert main.commands.keys() == COMMANDS.keys() | COMMANDS_OF_OPERATORS
    for name, command in main.commands.items():
        assert isinstance(command, click.Command)
        assert any(param.name == "user" for param in command.params) == (name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_a_stranger_nothing(world: World, run: CommandLine, name: str) -> None:
    before = world.rows()
    told_bob, told_alice = set(), set()

    def said(job: Job, user: UUID, *more: str) -> str:
        arguments = [part.replace("{job}", str(job.id)) for part in COMMANDS[name]]
        ended = run(name, *arguments, *more, JOBQUEUE_USER=str(user))
        return f"{ended.exit_code} {ended.stdout} {ended.stderr}"

    for more in ((), ("--json",)):
        of_bob = set()
        for job in (*world.hers(), nobodys()):
            bob = world.stranger_with_a_job()
            shown = said(job, bob, *more)
            assert [trace for trace in world.traces(job) if trace in shown] == []
            of_bob.add(alike(shown, job, bob))
        assert len(of_bob) == 1
        told_bob |= of_bob
    assert world.rows() == before
    for job in world.hers():
        shown = alike(said(job, world.alice), job, world.alice)
        told_alice.add(shown)
    if name != "submit":
        assert not told_alice <= told_bob
