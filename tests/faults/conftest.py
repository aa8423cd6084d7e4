"""Options, the fixture that makes worlds, and the table at the end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LOGS
from tests.faults import mechanisms
from tests.faults.report import Line, table
from tests.faults.world import Plan, World

PROPERTY = "fault line"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--fault-seed", type=int, default=None, help="repeat the random faults of this seed")
    group.addoption(
        "--without", choices=sorted(mechanisms.MECHANISMS), default=None, help="switch one protecting mechanism off"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes a minute or so; begins first")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that the run does not end with one test and one idle core."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given: int | None = request.config.getoption("--fault-seed")
    return random.randrange(1_000_000) if given is None else given


Check = Callable[[World, str], Line]
MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> MakeWorld:
    """Makes a world from the fields of ``Plan``; its logs are shown when the test fails."""
    request.node.stash[LOGS] = [tmp_path]

    def make(**fields: Any) -> World:
        return World(Plan(without=request.config.getoption("--without"), **fields), tmp_path)

    return make


@pytest.fixture
def finish(request: pytest.FixtureRequest) -> Check:
    """Waits for the end of everything, enters the line into the table, and fails on whatever was not as promised."""

    def check(world: World, fault: str) -> Line:
        line = world.finish(fault)
        request.node.user_properties.append((PROPERTY, line.as_dict()))
        assert not line.problems, "\n".join([table([line]), *line.problems[:20], f"{len(line.problems)} problems"])
        return line

    return check


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    reports = [one for outcome in ("passed", "failed") for one in terminalreporter.stats.get(outcome, [])]
    lines = [
        Line(**value) for one in reports for name, value in getattr(one, "user_properties", []) if name == PROPERTY
    ]
    if lines:
        terminalreporter.write_sep("=", "faults")
        terminalreporter.write_line(table(sorted(lines, key=lambda line: line.fault)))
    return (yield)
