"""What is said of outages: when one begins, now and then, and when it is over, however often it is tried."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from worker.notifier import outage_log
from worker.notifier.outage_log import OthersLimit, OutageLog


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(outage_log, "time", made)
    return made


def test_a_long_outage_is_told_once_now_and_then_and_at_its_end(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = OutageLog(logging.getLogger("worker.test"))
    outage.works()
    for _ in range(650):
        outage.failed(ConnectionError("away"))
        clock.now += 0.1
    assert len(caplog.messages) == 3
    outage.works()
    outage.works()
    assert caplog.messages[3:] == ["The notifier works again after 650 failed tries."]
    assert outage.failures == 0


def test_of_many_short_outages_a_few_are_told(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = OutageLog(logging.getLogger("worker.test"))
    for _ in range(300):
        outage.failed(ConnectionError("away"))
        outage.works()
        clock.now += 0.1
    assert len(caplog.messages) == 6
    clock.now += 30
    for _ in range(10):
        outage.failed(ConnectionError("away"))
        outage.works()
        clock.now += 0.1
    assert len(caplog.messages) == 12


def record(name: str, **details: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": name, "msg": "x", **details})


def test_libraries_say_one_line_without_traceback_and_we_say_all(clock: Clock) -> None:
    limit = OthersLimit()
    first = record("kombu.connection", exc_info=(ValueError, ValueError("secret"), None), exc_text="secret")
    first.stack_info = "secret"
    assert limit.filter(first)
    assert [first.exc_info, first.exc_text, first.stack_info] == [None] * 3
    assert not limit.filter(record("kombu.connection"))
    assert limit.filter(record("redis"))
    assert all(limit.filter(record("worker.notifier.service")) for _ in range(5))
    clock.now += 31
    assert limit.filter(record("kombu.connection"))
