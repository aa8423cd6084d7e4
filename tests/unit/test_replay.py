"""What a subscription remembers so that nothing is missed and nothing repeated."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.errors import CursorExpiredError, QueueUnavailableError
from jobqueue.events import JobEvent
from jobqueue.replay import (
    CALM_SECONDS,
    CATCH_UP_EVERY_SECONDS,
    DOUBT_FOR_SECONDS,
    MAX_RECONNECT_SECONDS,
    PAGE,
    PING_AFTER_SECONDS,
    PONG_WITHIN_SECONDS,
    REMEMBERED,
    SAY_AGAIN_AFTER_SECONDS,
    SAY_AGAIN_AT_MOST_EVERY_SECONDS,
    Feed,
    NoAnswerError,
    Outage,
    Step,
    reconnect_delay,
)
from tests.unit.test_events import VALID

EVENT = JobEvent.from_json(json.dumps(VALID))
CONFIRMED = {"type": "subscribe", "data": 1}


def event(cursor: int) -> JobEvent:
    return replace(EVENT, cursor=cursor)


def message(cursor: int, seq: int = EVENT.seq, job_id: UUID = EVENT.job_id) -> dict[str, object]:
    return {"type": "message", "data": replace(event(cursor), seq=seq, job_id=job_id).to_json().encode()}


def started(after: int | None = None, now: float = 0.0) -> Feed:
    """Subscribed and confirmed; without ``after`` everything up to now is known."""
    feed = Feed(EVENT.user_id, lambda _job: None, now)
    feed.subscribing(now)
    feed.begin(after or 0, resumed=after is not None)
    feed.received(CONFIRMED, now)
    if after is None:
        feed.read([], now)
    return feed


def handed_out(feed: Feed) -> list[int]:
    found = [one.cursor for one in feed.ready]
    feed.ready.clear()
    return found


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=40), st.data())
def test_whatever_is_lost_or_comes_twice_each_event_is_handed_out_once_and_in_order(
    rounds: list[tuple[bool, int]], data: st.DataObject
) -> None:
    """``mine`` are the cursors of this user's events; some messages never arrive, others again."""
    feed, mine, out, newest = started(), [], [], 0
    for ours, number in rounds:
        new = list(range(newest + 1, newest + number + 1))
        newest += number
        if not ours:
            continue
        mine += new
        for cursor in data.draw(st.lists(st.sampled_from(mine), max_size=6)):
            feed.received(message(cursor), 0.0)
            if feed.next_step(0.0) is Step.READ_LOG:
                feed.read([event(one) for one in mine if one > feed.position], 0.0)
        out += handed_out(feed)
        assert out == mine[: len(out)]
    feed.received(CONFIRMED, 0.0)
    feed.read([event(one) for one in mine if one > feed.position], 0.0)
    assert out + handed_out(feed) == mine


def test_the_very_next_event_needs_no_look_into_the_log_and_any_other_does() -> None:
    feed = started()
    feed.received(message(1), 0.0)
    assert (feed.next_step(0.0), handed_out(feed)) == (Step.RECEIVE, [1])
    feed.received(message(3), 0.0)
    assert (feed.next_step(0.0), handed_out(feed)) == (Step.READ_LOG, [])
    feed.received(message(2), 0.0)  # what the log is about to tell is not taken from messages any more
    assert handed_out(feed) == []
    feed.read([event(2), event(3)], 0.0)
    assert (feed.next_step(0.0), handed_out(feed)) == (Step.RECEIVE, [2, 3])


@pytest.mark.parametrize("missed", [True, False])
def test_a_page_that_is_full_is_followed_by_another(missed: bool) -> None:
    """All of them were missed, or a connection that stands was told of the last one only."""
    feed = started(after=0 if missed else None)
    feed.received(message(PAGE + 1), 0.0)
    feed.read([event(cursor) for cursor in range(1, PAGE + 1)], 0.0)
    assert feed.next_step(0.0) is Step.READ_LOG
    feed.read([event(PAGE + 1)], 0.0)
    assert feed.next_step(0.0) is Step.RECEIVE
    assert {one.replayed for one in feed.ready} == {missed}


def test_the_cursor_is_that_of_the_last_event_handed_out() -> None:
    feed = started(after=4)
    feed.read([event(7), event(9)], 0.0)
    assert feed.cursor == 6
    feed.ready.popleft()
    feed.ready.popleft()
    assert feed.cursor == 9


@pytest.mark.parametrize("payload", [b"", b"null", json.dumps({**VALID, "user_id": str(UUID(int=5))}).encode()])
def test_garbage_and_other_peoples_events_are_ignored(payload: bytes) -> None:
    feed = started()
    feed.received({"type": "message", "data": payload}, 0.0)
    assert (feed.next_step(0.0), handed_out(feed)) == (Step.RECEIVE, [])


def test_what_was_missed_is_marked_as_replayed_and_what_comes_live_is_not() -> None:
    feed = started(after=0)
    feed.read([event(1)], 0.0)
    feed.received(message(2), 0.0)
    feed.received(message(4), 0.0)
    feed.read([event(4)], 0.0)
    assert [one.replayed for one in feed.ready] == [True, False, False]
    feed.ready.clear()
    feed.lost("OSError", 0.0)
    feed.read([event(5)], 0.0)
    feed.subscribing(1.0)
    feed.received(CONFIRMED, 1.0)
    feed.read([event(6)], 1.0)
    feed.received(message(7), 1.0)
    assert [one.replayed for one in feed.ready] == [True, True, False]


def test_behind_an_expired_cursor_it_goes_on_from_the_snapshot() -> None:
    feed = started(after=3)
    feed.expired(CursorExpiredError("Gone.", cursor=10))
    assert (feed.position, feed.next_step(0.0)) == (10, Step.READ_LOG)
    feed.read([event(11)], 0.0)
    assert handed_out(feed) == [11]


def test_an_event_from_before_the_snapshot_is_no_sign_of_another_log() -> None:
    """The log may well hold it, so looking for it there would end in another snapshot."""
    feed = started(after=3)
    feed.expired(CursorExpiredError("Gone.", cursor=10))
    feed.read([], 0.0)
    feed.received(message(7), 0.0)
    assert (feed.doubted, feed.next_step(0.0)) == (None, Step.RECEIVE)


def test_events_that_come_once_more_need_no_look_into_the_log() -> None:
    feed = started()
    for cursor in range(1, REMEMBERED + 2):
        feed.received(message(cursor), 0.0)
    for cursor in range(2, REMEMBERED + 2):
        feed.received(message(cursor), 0.0)
    assert feed.next_step(CATCH_UP_EVERY_SECONDS - 0.01) is Step.RECEIVE
    assert feed.doubted is None


@pytest.mark.parametrize("late", [message(3, seq=77), message(3, job_id=UUID(int=7)), message(2)])
def test_an_event_that_would_be_known_is_looked_for_in_the_log_at_once(late: dict[str, object]) -> None:
    """Another event at a cursor that was handed out, or one at a cursor that this user had none at."""
    feed = started()
    feed.received(message(1), 0.0)
    feed.received(message(3), 0.0)
    feed.read([event(3)], 0.0)
    feed.received(late, 0.0)
    doubted = JobEvent.from_json(late["data"])  # type: ignore[arg-type]
    assert (feed.next_step(0.0), feed.doubted) == (Step.READ_LOG, doubted)
    feed.read([], 0.0)
    assert (feed.next_step(0.0), handed_out(feed)) == (Step.RECEIVE, [1, 3])
    assert not feed.doubted


@pytest.mark.parametrize("beyond_memory", [False, True])
def test_an_event_from_before_what_is_remembered_leads_to_one_look_into_the_log_soon(beyond_memory: bool) -> None:
    feed = started(after=5)
    feed.read([event(one) for one in range(6, 7 + beyond_memory * REMEMBERED)], 0.0)
    feed.received(message(6 if beyond_memory else 5), 0.0)
    assert feed.next_step(DOUBT_FOR_SECONDS - 0.01) is Step.RECEIVE
    assert feed.next_step(DOUBT_FOR_SECONDS) is Step.READ_LOG
    assert feed.doubted is None
    feed.read([], DOUBT_FOR_SECONDS)
    assert feed.next_step(3 * DOUBT_FOR_SECONDS) is Step.RECEIVE


def test_what_was_known_of_another_log_is_forgotten() -> None:
    feed = started()
    feed.received(message(1), 0.0)
    feed.received(message(2), 0.0)
    feed.received(message(1, seq=77), 0.0)
    feed.expired(CursorExpiredError("Another one.", cursor=0))
    assert (feed.position, feed.doubted, feed.next_step(0.0)) == (0, None, Step.READ_LOG)
    feed.read([event(3)], 0.0)
    assert handed_out(feed) == [1, 2, 3]
    feed.received(message(1), 0.0)
    assert feed.next_step(0.0) is Step.READ_LOG


def test_a_snapshot_that_leads_nowhere_is_not_taken_twice() -> None:
    feed = started(after=3)
    feed.expired(CursorExpiredError("Gone.", cursor=3))
    with pytest.raises(QueueUnavailableError, match="cursor 3"):
        feed.expired(CursorExpiredError("Gone.", cursor=3))
    feed.expired(CursorExpiredError("Gone.", cursor=4))
    feed.read([], 0.0)
    feed.expired(CursorExpiredError("Gone.", cursor=4))


def test_a_lost_subscription_is_tried_again_after_a_look_into_the_log() -> None:
    feed = started()
    feed.lost("OSError", 0.0)
    assert feed.next_step(0.0) is Step.READ_LOG
    feed.read([], 0.0)
    assert feed.next_step(0.0) is Step.WAIT
    assert 0.0 < feed.pause(0.0) <= 0.2
    assert feed.next_step(0.2) is Step.SUBSCRIBE


def test_a_log_that_cannot_be_read_is_tried_again_and_holds_up_no_subscription() -> None:
    feed = started(after=0)
    feed.unreadable(OSError(), 0.0)
    assert feed.next_step(0.0) is Step.RECEIVE
    assert feed.next_step(0.2) is Step.READ_LOG
    feed.lost("OSError", 0.2)
    feed.unreadable(OSError(), 0.2)
    assert feed.next_step(0.21) is Step.WAIT
    assert feed.pause(0.21) <= 0.2


def test_while_redis_is_long_away_the_log_is_asked_sooner() -> None:
    feed = started()
    for _ in range(20):
        feed.lost("OSError", 0.0)
    assert feed.pause(0.0) == 0
    feed.unreadable(OSError(), 0.0)
    assert 0 < feed.pause(0.0) <= 0.2
    feed.read([], 0.2)
    assert feed.pause(0.2) >= MAX_RECONNECT_SECONDS / 2 - 0.2


def test_after_an_outage_that_is_over_the_first_try_comes_soon_again() -> None:
    feed = started()
    for _ in range(20):
        feed.lost("OSError", 0.0)
        feed.unreadable(OSError(), 0.0)
    feed.subscribing(10.0)
    feed.read([], 10.0)
    feed.received(CONFIRMED, 10.0)
    feed.unreadable(OSError(), 10.0)
    assert feed.next_step(10.2) is Step.READ_LOG
    feed.read([], 10.2)
    feed.lost("OSError", 10.2)
    feed.read([], 10.2)
    assert feed.next_step(10.4) is Step.SUBSCRIBE


def test_a_silent_connection_is_pinged_once_and_dead_without_an_answer() -> None:
    feed = started(now=100.0)
    assert not feed.received(None, 100.0 + PING_AFTER_SECONDS - 0.01)
    pinged = 100.0 + PING_AFTER_SECONDS
    assert feed.received(None, pinged)
    assert not feed.received(None, pinged + PONG_WITHIN_SECONDS - 0.01)
    with pytest.raises(NoAnswerError):
        feed.received(None, pinged + PONG_WITHIN_SECONDS)


def test_an_answer_makes_a_connection_live_again() -> None:
    feed = started()
    assert feed.received(None, PING_AFTER_SECONDS)
    answered = PING_AFTER_SECONDS + PONG_WITHIN_SECONDS - 0.01
    feed.received({"type": "pong", "data": b""}, answered)
    assert not feed.received(None, answered + PING_AFTER_SECONDS - 0.01)
    assert feed.received(None, answered + PING_AFTER_SECONDS)


def test_a_new_subscription_has_all_the_time_that_the_dead_one_had() -> None:
    feed = started()
    assert feed.received(None, PING_AFTER_SECONDS)
    dead = PING_AFTER_SECONDS + PONG_WITHIN_SECONDS
    with pytest.raises(NoAnswerError):
        feed.received(None, dead)
    feed.lost("NoAnswerError", dead)
    feed.subscribing(dead + 1)
    assert not feed.received(None, dead + 1 + PING_AFTER_SECONDS - 0.01)
    assert feed.received(None, dead + 1 + PING_AFTER_SECONDS)


def test_a_live_connection_looks_into_the_log_now_and_then() -> None:
    feed = started()
    for number in (1, 2):
        assert feed.next_step(number * CATCH_UP_EVERY_SECONDS - 0.01) is Step.RECEIVE
        assert feed.next_step(number * CATCH_UP_EVERY_SECONDS) is Step.READ_LOG
        feed.read([], number * CATCH_UP_EVERY_SECONDS)


def test_an_outage_of_a_day_is_a_few_lines_and_the_next_one_is_news() -> None:
    outage = Outage(0.0)
    said = [second for second in range(0, 86_400, 5) if outage.failed(float(second))]
    assert said[:3] == [0, SAY_AGAIN_AFTER_SECONDS, 3 * SAY_AGAIN_AFTER_SECONDS]
    assert len(said) < 40
    assert said[-1] - said[-2] == SAY_AGAIN_AT_MOST_EVERY_SECONDS
    outage.over()
    began = 86_400 + int(CALM_SECONDS)
    again = [second for second in range(0, 100, 5) if outage.failed(float(began + second))]
    assert again == [0, SAY_AGAIN_AFTER_SECONDS, 3 * SAY_AGAIN_AFTER_SECONDS]


def test_a_connection_that_comes_and_goes_does_not_fill_the_log() -> None:
    outage, said = Outage(0.0), 0
    for second in range(3_600):
        said += outage.failed(float(second))
        outage.over()
    assert said < 10


def test_an_outage_that_lasts_is_tried_less_often_and_the_next_one_as_often_as_ever() -> None:
    outage = Outage(0.0)
    for _ in range(20):
        outage.failed(0.0)
    assert outage.retry_at >= MAX_RECONNECT_SECONDS / 2
    outage.over()
    outage.failed(0.0)
    assert outage.retry_at <= 0.2


@given(st.integers(0, 10_000))
def test_a_reconnect_waits_at_least_a_moment_and_never_long(failures: int) -> None:
    assert 0.05 <= reconnect_delay(failures) <= MAX_RECONNECT_SECONDS


def test_reconnects_of_a_crowd_are_spread() -> None:
    assert len({reconnect_delay(5) for _ in range(100)}) > 50
