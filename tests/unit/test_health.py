"""What counts as a problem of the queue, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.health import QueueState, WorkerPresence, assess, assess_worker

NAME = "celery@a"
WORKER = WorkerPresence(NAME, seen_ago=2.0, consuming=True, stopping=False, received_ago=400.0, holds=0)
WELL = QueueState(
    due=0,
    oldest_due=None,
    processing=0,
    orphaned_for=None,
    oldest_unrelayed=None,
    leader="n1",
    led=True,
    unled_for=None,
    swept_ago=0.5,
    workers=(WORKER,),
)
BUSY = replace(WORKER, holds=2)
STOPPING = replace(WORKER, consuming=False, stopping=True)


def codes(state: QueueState) -> list[str]:
    return [problem.code for problem in assess(state)]


@pytest.mark.parametrize(
    "state",
    [
        WELL,
        replace(WELL, due=3, oldest_due=59.0),  # a free worker, which takes them in a moment
        replace(WELL, due=3, oldest_due=299.0, workers=(BUSY,)),
        replace(WELL, leader=None, led=False, unled_for=9.0),
        replace(WELL, oldest_unrelayed=14.0, swept_ago=29.0, orphaned_for=14.0),
        replace(WELL, workers=(WORKER, replace(WORKER, seen_ago=31.0, consuming=False))),
        replace(WELL, workers=(WORKER, STOPPING)),
        replace(WELL, due=9, oldest_due=299.0, workers=(BUSY, replace(STOPPING, consuming=True))),
    ],
)
def test_what_passes_by_itself_is_no_problem(state: QueueState) -> None:
    assert codes(state) == []


@pytest.mark.parametrize(
    ("state", "expected", "words"),
    [
        (replace(WELL, led=False, unled_for=11.0), "NO_NOTIFIER", "none has for 11 s"),
        (replace(WELL, leader=None, led=False), "NO_NOTIFIER", "No notifier works: no job"),
        (replace(WELL, oldest_unrelayed=180.0), "RELAY_LAGS", "for 3 min"),
        (replace(WELL, swept_ago=31.0), "SWEEPER_LAGS", "last ran 31 s ago"),
        (replace(WELL, swept_ago=None), "SWEEPER_LAGS", "has not run yet"),
        (replace(WELL, orphaned_for=16.0), "JOBS_ORPHANED", "16 s"),
        (replace(WELL, due=1, workers=()), "NO_WORKER", "No worker runs, 1 job due"),
        (replace(WELL, workers=(replace(WORKER, seen_ago=31.0),)), "NO_WORKER", "No worker runs, 0 jobs due"),
        (replace(WELL, due=2, workers=(STOPPING,)), "NO_WORKER", "No worker runs, 2 jobs due"),
        (replace(WELL, workers=(BUSY, STOPPING, replace(WORKER, consuming=False))), "WORKERS_CUT_OFF", "1 worker of 2"),
        (
            replace(WELL, due=9, oldest_due=61.0, workers=(WORKER, BUSY)),
            "WORKERS_IDLE",
            "waited for 61 s: 1 worker of 2",
        ),
        (replace(WELL, due=9, oldest_due=10800.0, workers=(BUSY,)), "QUEUE_LONG", "9 jobs due, the oldest for 3 h"),
    ],
)
def test_each_problem_is_said_in_words(state: QueueState, expected: str, words: str) -> None:
    (problem,) = assess(state)
    assert problem.code == expected
    assert words in problem.message


def test_without_a_notifier_the_workers_are_not_blamed_for_having_nothing_to_do() -> None:
    state = replace(WELL, led=False, unled_for=600.0, due=9, oldest_due=600.0)
    assert codes(state) == ["NO_NOTIFIER"]
    assert assess_worker(state, NAME) == []
    assert codes(replace(WELL, oldest_unrelayed=500.0, due=9, oldest_due=600.0)) == ["RELAY_LAGS"]


@pytest.mark.parametrize(
    ("worker", "expected"),
    [
        (WORKER, "WORKERS_IDLE"),
        (BUSY, None),
        (replace(WORKER, received_ago=59.0), None),
        (replace(WORKER, consuming=False), "WORKERS_CUT_OFF"),
        (STOPPING, None),
        (replace(STOPPING, consuming=True), None),
        (replace(WORKER, seen_ago=31.0), "NO_WORKER"),
        (replace(STOPPING, seen_ago=31.0), "NO_WORKER"),
        (replace(WORKER, name="celery@b"), "NO_WORKER"),
    ],
)
def test_one_worker_is_asked_after_alone(worker: WorkerPresence, expected: str | None) -> None:
    state = replace(WELL, due=9, oldest_due=61.0, workers=(worker,))
    found = [problem.code for problem in assess_worker(state, NAME)]
    assert found == ([] if expected is None else [expected])


AGES = st.none() | st.floats(0, 1e7)


@given(
    st.builds(
        QueueState,
        due=st.integers(0, 10_000),
        oldest_due=AGES,
        processing=st.integers(0, 100),
        orphaned_for=AGES,
        oldest_unrelayed=AGES,
        leader=st.none() | st.just("n"),
        led=st.booleans(),
        unled_for=AGES,
        swept_ago=AGES,
        workers=st.lists(
            st.builds(
                WorkerPresence,
                st.just(NAME),
                st.floats(0, 1e6),
                st.booleans(),
                st.booleans(),
                st.floats(0, 1e6),
                st.integers(0, 9),
            ),
            max_size=3,
        ).map(tuple),
    )
)
def test_every_state_is_judged_in_one_clear_sentence_a_problem(state: QueueState) -> None:
    for problem in assess(state):
        assert problem.message.endswith(".")
        assert "None" not in problem.message
        assert "\n" not in problem.message
