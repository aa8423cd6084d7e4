"""Options, the fixture that makes worlds, and the table at the end."""

from __future__ import annotations

import json
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
    group.addoption("--fault-outcomes", type=Path, default=None, help="write the outcomes there, as JSON")


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
        without = request.config.getoption("--without")
        # Nobody waits long for what is expected to fail.
        patience: dict[str, Any] = {} if without is None else {"stuck_after": 20.0, "given_up_after": 60.0}
        return World(Plan(without=without, **patience, **fields), tmp_path)

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
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> Iterator[None]:
    reports = [one for kind in ("passed", "failed", "error") for one in terminalreporter.stats.get(kind, [])]
    outcomes = [_outcome(one) for one in reports]
    lines = [Line(**one["line"]) for one in outcomes if one["line"] is not None]
    if lines:
        terminalreporter.write_sep("=", "faults")
        terminalreporter.write_line(table(sorted(lines, key=lambda line: line.fault)))
    if config.getoption("--fault-outcomes") is not None:
        config.getoption("--fault-outcomes").write_text(json.dumps(outcomes))
    return (yield)


def _outcome(report: pytest.TestReport) -> dict[str, Any]:
    lines = [value for name, value in report.user_properties if name == PROPERTY]
    problems: list[str] = lines[0]["problems"] if lines else []  # type: ignore[index]
    crash = getattr(report.longrepr, "reprcrash", None)
    said = "" if crash is None else crash.message.splitlines()[0]
    return {
        "test": report.nodeid.removeprefix("tests/faults/"),
        "outcome": report.outcome,
        "line": lines[0] if lines else None,
        "why": problems[0] if problems else said,
    }
