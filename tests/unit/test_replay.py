"""What a subscription remembers so that nothing is missed and nothing repeated."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jobqueue.events import JobEvent
from jobqueue.replay import (
    CATCH_UP_EVERY_SECONDS,
    MAX_RECONNECT_SECONDS,
    PING_AFTER_SECONDS,
    PONG_WITHIN_SECONDS,
    Liveness,
    ReplayPosition,
    reconnect_delay,
)
from tests.unit.test_events import VALID

EVENT = JobEvent.from_json(json.dumps(VALID))


@given(st.lists(st.integers(1, 30)), st.integers(0, 30))
def test_each_event_behind_the_start_is_accepted_once_and_in_order(cursors: list[int], start: int) -> None:
    position = ReplayPosition(start)
    accepted = [cursor for cursor in cursors if position.accept(replace(EVENT, cursor=cursor))]
    assert accepted == sorted(set(accepted))
    assert all(cursor > start for cursor in accepted)
    assert position.cursor == max([start, *cursors])


@given(st.lists(st.integers(1, 10), min_size=1), st.integers(0, 9))
def test_a_page_of_the_log_read_again_brings_exactly_the_rest(repeats: list[int], start: int) -> None:
    position = ReplayPosition(start)
    seen: list[int] = []
    for end in [*repeats, 10]:
        seen += [cursor for cursor in range(1, end + 1) if position.accept(replace(EVENT, cursor=cursor))]
    assert seen == list(range(start + 1, 11))


def test_a_silent_connection_is_pinged_once_and_dead_without_an_answer() -> None:
    line = Liveness(heard_at=100.0)
    assert not line.should_ping(100.0 + PING_AFTER_SECONDS - 0.01)
    pinged = 100.0 + PING_AFTER_SECONDS
    assert line.should_ping(pinged)
    line.pinged_at = pinged
    assert not line.should_ping(pinged + 1)
    assert not line.is_dead(pinged + PONG_WITHIN_SECONDS - 0.01)
    assert line.is_dead(pinged + PONG_WITHIN_SECONDS)


def test_an_answer_makes_a_connection_live_again() -> None:
    line = Liveness(heard_at=0.0, pinged_at=5.0)
    line.heard(14.5)
    assert not line.is_dead(15.0)
    assert line.should_ping(14.5 + PING_AFTER_SECONDS)


def test_a_live_connection_looks_into_the_log_now_and_then() -> None:
    line = Liveness(heard_at=0.0, caught_up_at=50.0)
    line.heard(60.0)
    assert not line.should_catch_up(50.0 + CATCH_UP_EVERY_SECONDS - 0.01)
    assert line.should_catch_up(50.0 + CATCH_UP_EVERY_SECONDS)


@given(st.integers(0, 10_000))
def test_a_reconnect_waits_at_least_a_moment_and_never_long(failures: int) -> None:
    assert 0.05 <= reconnect_delay(failures) <= MAX_RECONNECT_SECONDS


def test_reconnects_of_a_crowd_are_spread() -> None:
    assert len({reconnect_delay(5) for _ in range(100)}) > 50
