"""Two real notifiers, and everything that may happen to one of them, to both, and to their servers.

A plain subscriber hears what the standby relays within five seconds, and hears nothing old after something new.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from tests.conftest import LOGS
from tests.eventually import eventually
from tests.notifier_pair import Member, Pair, notifier_pair

TAKEOVER_SECONDS = 5.0
# Longer than a few failed tries, each of which would be a line.
AWAY_SECONDS = 4.0
LINES_OF_AN_OUTAGE = 4


@pytest.fixture(scope="module")
def _pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with notifier_pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture
def pair(request: pytest.FixtureRequest, _pair: Pair) -> Iterator[Pair]:
    request.node.stash[LOGS] = [_pair.members[0].log_path.parent]
    yield _pair
    for one in _pair.members:
        log = one.log_path.read_text()
        assert "Traceback" not in log
        for url in (_pair.postgres.url, _pair.valkey.url):
            assert url.split(":")[2].split("@")[0] not in log


@contextmanager
def killed(leader: Member) -> Iterator[None]:
    leader.process.kill()
    yield
    leader.start()


@contextmanager
def stopped(leader: Member) -> Iterator[None]:
    os.kill(leader.process.pid, signal.SIGSTOP)
    yield
    os.kill(leader.process.pid, signal.SIGCONT)


@contextmanager
def half_open_to_postgres(leader: Member) -> Iterator[None]:
    leader.postgres.freeze()
    yield
    leader.postgres.allow()


@contextmanager
def half_open_to_redis(leader: Member) -> Iterator[None]:
    leader.redis.freeze()
    yield
    leader.redis.allow()


FAULTS = [killed, stopped, half_open_to_postgres, half_open_to_redis]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_standby_takes_over_in_time_and_the_old_leader_stands_by(
    pair: Pair, fault: Callable[[Member], object]
) -> None:
    leader, standby = pair.roles()
    term = pair.state().term
    with pair.subscriber() as heard:
        before = pair.submit()
        heard.wait_for(before)
        with fault(leader):  # type: ignore[attr-defined]
            began = time.monotonic()
            job = pair.submit()
            heard.wait_for(job, within=TAKEOVER_SECONDS)
            assert time.monotonic() - began < TAKEOVER_SECONDS
            pair.change(job, "processing")
            heard.wait_for(job, 2)
            assert pair.state().term > term
        assert pair.roles() == (standby, leader)
        last = pair.submit()
        heard.wait_for(last)
        for one, seqs in ((before, 1), (job, 2), (last, 1)):
            heard.assert_in_order(one, seqs)


def test_what_a_stopped_leader_had_on_its_way_to_redis_does_not_arrive_after_newer_events(pair: Pair) -> None:
    leader, standby = pair.roles()
    with pair.subscriber() as heard:
        leader.redis.freeze()
        job = pair.submit()
        eventually(lambda: pair.is_numbered(job), what="the leader having numbered the event")
        os.kill(leader.process.pid, signal.SIGSTOP)
        heard.wait_for(job, 1, within=TAKEOVER_SECONDS)
        for number, status in ((2, "processing"), (3, "queued")):
            pair.change(job, status)
            heard.wait_for(job, number)
        leader.redis.allow()
        os.kill(leader.process.pid, signal.SIGCONT)
        assert pair.roles() == (standby, leader)
        last = pair.submit()
        heard.wait_for(last)
        heard.assert_in_order(job, 3)


@pytest.fixture
def _wake_up_mode(pair: Pair) -> Iterator[None]:
    pair.set_notify_mode("wake_up")
    yield
    pair.set_notify_mode("every_change")


def stop_in_its_sleep(pair: Pair, leader: Member) -> bool:
    eventually(pair.somebody_sleeps, what="the leader sleeping")
    os.kill(leader.process.pid, signal.SIGSTOP)
    if pair.somebody_sleeps():
        return True
    os.kill(leader.process.pid, signal.SIGCONT)
    return False


@pytest.mark.usefixtures("_wake_up_mode")
def test_a_leader_stopped_in_its_sleep_neither_starves_its_successor_nor_keeps_it_busy(pair: Pair) -> None:
    leader, standby = pair.roles()
    eventually(lambda: stop_in_its_sleep(pair, leader), what="the leader stopped while it slept")
    try:
        with pair.subscriber() as heard:
            heard.wait_for(pair.submit(), within=TAKEOVER_SECONDS)
            assert pair.somebody_sleeps()
            before, began = pair.writes(), time.monotonic()
            time.sleep(1.5)
            assert pair.writes() - before < 20 * (time.monotonic() - began)
            submitted = time.monotonic()
            heard.wait_for(pair.submit())
            assert time.monotonic() - submitted < 1
    finally:
        os.kill(leader.process.pid, signal.SIGCONT)
    assert pair.roles() == (standby, leader)


def test_terminated_sessions_are_opened_again_at_once(pair: Pair) -> None:
    pair.roles()
    with pair.subscriber() as heard:
        with pair.engine.begin() as connection:
            terminate = """
                SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE application_name = 'menu-jobqueue notifier'
            """
            assert connection.execute(text(terminate)).scalar_one() >= 3
        began = time.monotonic()
        heard.wait_for(pair.submit())
        assert time.monotonic() - began < TAKEOVER_SECONDS
    pair.roles()


def assert_told_shortly(pair: Pair, before: list[int]) -> None:
    """For a pair made anew: of many outages, as other tests make them, only the first few are told."""
    lines = [one.lines[number:] for one, number in zip(pair.members, before, strict=True)]
    assert all(len(one) <= LINES_OF_AN_OUTAGE for one in lines), lines
    assert [line for one in lines for line in one if "was interrupted" in line]


def test_while_postgres_is_away_the_log_stays_short_and_afterwards_all_is_relayed(pair: Pair) -> None:
    pair.start_anew()
    before = [len(one.lines) for one in pair.members]
    with pair.subscriber() as heard:
        pair.postgres.kill()
        time.sleep(AWAY_SECONDS)
        pair.postgres.start()
        back = time.monotonic()
        pair.engine.dispose()
        heard.wait_for(pair.submit())
        assert time.monotonic() - back < TAKEOVER_SECONDS
    pair.roles()
    assert_told_shortly(pair, before)


def test_while_redis_is_away_the_log_stays_short_and_afterwards_all_is_relayed(pair: Pair) -> None:
    pair.start_anew()
    before = [len(one.lines) for one in pair.members]
    pair.valkey.kill()
    meanwhile = pair.submit()
    time.sleep(AWAY_SECONDS)
    lag = pair.state().lag_seconds
    assert lag is not None
    assert lag >= AWAY_SECONDS - 0.5
    pair.valkey.start()
    back = time.monotonic()
    eventually(lambda: pair.state().lag_seconds is None, within=TAKEOVER_SECONDS, what="everything relayed")
    with pair.subscriber() as heard:
        job = pair.submit()
        heard.wait_for(job)
        assert time.monotonic() - back < TAKEOVER_SECONDS
        assert heard.of(meanwhile) == []
    pair.roles()
    assert_told_shortly(pair, before)


def test_with_both_killed_nothing_is_lost_and_the_next_ones_relay_it(pair: Pair) -> None:
    pair.roles()
    with pair.subscriber() as heard:
        for one in pair.members:
            one.process.kill()
        job = pair.submit()
        pair.change(job, "processing")
        for one in pair.members:
            one.start()
        heard.wait_for(job, 2)
        heard.assert_in_order(job, 2)
    pair.roles()
