"""The fault tests with one protecting mechanism switched off at a time: ``python -m tests.faults.ablation``.

Shows that each of them can fail. Prints what was lost, and ends with 1 when a test passed that should not have.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.faults.mechanisms import MECHANISMS
from tests.faults.report import Line, table
from tests.processes import REPOSITORY

SEED = 13
"""Of random faults, of which the first is that Redis loses everything."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", choices=sorted(MECHANISMS), action="append", help="only these; all by default")
    parser.add_argument("--processes", type=int, default=3, help="how many tests at once")
    options = parser.parse_args()
    green: list[str] = []
    unproven = set(_all_tests())
    for name in options.without or MECHANISMS:
        outcomes = _run(name, options.processes)
        failed = [one for one in outcomes if _shows_something(one)]
        _say(
            f"\nWithout {name} ({MECHANISMS[name].what}) "
            f"{len(failed)} of the {len(outcomes)} fault tests that should fail do:\n"
        )
        _say(table([Line(**one["line"]) for one in outcomes if one["line"] is not None]))
        for one in outcomes:
            _say(f"- {one['test']}: {one['outcome']}: {one['why']}")
        if len(failed) < len(outcomes) or not outcomes:
            green.append(name)
        unproven -= {one["test"] for one in failed}
    if green:
        _say(f"\nNot every test that should fail did without: {', '.join(green)}")
    if options.without is None:
        _say(f"\nFault tests that no mechanism turned red: {', '.join(sorted(unproven)) or 'none'}")
    return 1 if green else 0


def _shows_something(outcome: dict[str, Any]) -> bool:
    """Whether the test failed for want of the mechanism, and not because switching it off broke something else."""
    came_to_a_verdict = outcome["line"] is not None or "did not come true" in outcome["why"]
    return bool(outcome["outcome"] == "failed" and came_to_a_verdict)


def _all_tests() -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "tests/faults"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    return [line.removeprefix("tests/faults/") for line in listed.splitlines() if "::" in line]


def _run(without: str, processes: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder) / "outcomes.json"
        command = [
            *[sys.executable, "-m", "pytest", "-q", "tests/faults", "-n", str(processes), "--maxschedchunk=1"],
            *["--without", without, "-k", MECHANISMS[without].red, "--fault-outcomes", str(outcomes)],
            *["--fault-seed", str(SEED)],
        ]
        ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if not outcomes.exists():
            raise SystemExit(f"pytest did not come to an end:\n{ran.stdout[-5000:]}{ran.stderr[-2000:]}")
        found: list[dict[str, Any]] = json.loads(outcomes.read_text())
        return found


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
