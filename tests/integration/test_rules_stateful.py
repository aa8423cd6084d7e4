"""Random interleavings of all calls, in several open transactions at once, against a plain model of the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from sqlalchemy import Engine

from jobqueue import Settings
from jobqueue.database import create_database_engine
from tests.rules.asking import ASKING
from tests.rules.ending import ENDING
from tests.rules.openings import OPENINGS, Openings
from tests.rules.reached import Reached
from tests.rules.surroundings import SURROUNDINGS
from tests.rules.world import Step

EXAMPLES_OF_EACH_OPENING = 8
STEPS = 40
# Long enough to get a lock that is free, short enough to find out often that one is not.
LOCK_TIMEOUT = "40ms"


def test_no_interleaving_of_calls_breaks_a_rule(database_url: str, settings: Settings) -> None:
    separator = "&" if "?" in database_url else "?"
    engine = create_database_engine(f"{database_url}{separator}options=-c%20lock_timeout%3D{LOCK_TIMEOUT}", pool_size=8)
    reached: Counter[Reached] = Counter()
    for opening in OPENINGS:
        run_state_machine_as_test(
            machine(opening, engine, settings, reached),
            settings=hypothesis_settings(
                max_examples=EXAMPLES_OF_EACH_OPENING,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    engine.dispose()
    # A rule that no call came near was not tested.
    assert set(Reached) - set(reached) == set()


def machine(
    opening: Callable[[Openings], None], its_engine: Engine, its_settings: Settings, counts: Counter[Reached]
) -> type[Openings]:
    class Machine(Openings):
        engine = its_engine
        reached = counts

        @initialize(opening=st.just(opening.__name__))
        def begin_with(self, opening: str) -> None:
            self.begin()
            getattr(self, opening)()

        @rule(step=st.one_of(*ASKING, *ENDING, *SURROUNDINGS))
        def step(self, step: Step) -> None:
            method, arguments = step
            getattr(self, method)(**arguments)

    Machine.settings = its_settings
    return Machine
