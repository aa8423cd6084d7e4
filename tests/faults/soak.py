"""A long run of random faults: ``python -m tests.faults.soak --jobs 4000 --faults 100``.

Prints its seed, the faults as they come, and at the end the line of the table and whatever was not as promised. The
same seed gives the same faults in the same order, not the same timing. Ends with 1 when something was not as promised.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.injections import INJECTIONS, inject
from tests.faults.report import table
from tests.faults.world import Plan, World


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1500, help="how many to submit, evenly over the run")
    parser.add_argument("--faults", type=int, default=40, help="how many to inject")
    parser.add_argument("--pause", type=float, default=3.0, help="mean seconds between two faults")
    parser.add_argument("--seed", type=int, default=None, help="repeat the faults of an earlier run")
    parser.add_argument("--logs", type=Path, default=None, help="an empty folder for the logs, kept")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    _say(f"seed {seed}: {options.jobs} jobs, {options.faults} faults")
    with tempfile.TemporaryDirectory(prefix="jobqueue-soak-") as folder:
        return _soak(options, seed, options.logs or Path(folder))


def _soak(options: argparse.Namespace, seed: int, folder: Path) -> int:
    rng = random.Random(seed)
    done: Counter[str] = Counter()
    began = time.monotonic()
    with World(Plan(wearing_out=True, given_up_after=600, stuck_after=90), folder) as world:
        # 200 at once, so that the system is never without work, and the rest beside the faults.
        world.submit(min(200, options.jobs))
        for number in range(options.faults):
            share = (options.jobs - len(world.submitter.submitted)) // (options.faults - number)
            name = rng.choice(sorted(INJECTIONS))
            pause = rng.uniform(0.2, 2 * options.pause)
            with world.submitting(per_second=1_000_000, at_most=share):
                inject(world, name, rng)
                time.sleep(pause)
            done[name] += 1
            submitted, counts = len(world.submitter.submitted), world.observer.counts()
            _say(f"{time.monotonic() - began:7.1f} s  {name:32} {submitted} submitted, {counts}")
        world.submit(options.jobs - len(world.submitter.submitted))
        line = world.finish(f"soak, seed {seed}, {options.faults} faults")
    _say("\n".join([f"{count:5} {name}" for name, count in sorted(done.items())]))
    _say(table([line]))
    _say("\n".join(line.problems[:50]) or "Everything was as promised.")
    return 1 if line.problems else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
