"""The policy of quota and hourly limit: which limit holds, when a month begins, when the next upload is let in."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobqueue.limits import (
    HOUR,
    Limits,
    has_room,
    limits_for,
    month_start,
    next_month_start,
    quota_check,
    rate_check,
)

MILLISECOND = timedelta(milliseconds=1)
ZONES = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)
MOMENTS = st.datetimes(datetime(1971, 1, 2), datetime(9998, 12, 30), timezones=ZONES)  # noqa: DTZ001 - zones are drawn
NOT_LIMITS = st.one_of(
    st.none(), st.booleans(), st.floats(), st.text(), st.integers(max_value=-2), st.lists(st.integers()), st.just({})
)
FREE, PREMIUM, ENTERPRISE = Limits(5, 10), Limits(50, 20), Limits(-1, 50)


@pytest.mark.parametrize(
    ("plan", "limits"),
    [
        ("free", FREE),
        ("premium", PREMIUM),
        ("enterprise", ENTERPRISE),
        (None, FREE),
        ("", FREE),
        ("gold", FREE),
        ("Premium", FREE),
        (5, FREE),
        (["premium"], FREE),
    ],
)
def test_a_plan_has_its_limits_and_an_unknown_one_those_of_free(plan: Any, limits: Limits) -> None:
    assert limits_for(plan, None) == limits_for(plan, {}) == limits_for(plan, {"menus": 1, "items": 20}) == limits


@pytest.mark.parametrize("value", [-1, 0, 1, 7, 2**40])
def test_a_whole_number_from_minus_one_overrides_the_plan(value: int) -> None:
    assert limits_for("premium", {"ocr_jobs": value}) == Limits(value, 20)
    assert limits_for("premium", {"hourly_uploads": value}) == Limits(50, value)
    assert limits_for("gold", {"ocr_jobs": value, "hourly_uploads": value}) == Limits(value, value)


@pytest.mark.parametrize("value", [None, "7", "-1", "", True, False, 7.0, float("nan"), -2, -100, [7], {"limit": 7}])
def test_anything_else_leaves_the_plans_limit(value: Any) -> None:
    assert limits_for("premium", {"ocr_jobs": value, "hourly_uploads": value}) == PREMIUM


@given(value=NOT_LIMITS, plan_limits=st.one_of(st.none(), st.text(), st.integers(), st.lists(st.integers())))
def test_no_profile_however_odd_raises_or_changes_a_limit(value: Any, plan_limits: Any) -> None:
    assert limits_for("premium", {"ocr_jobs": value, "hourly_uploads": value}) == PREMIUM
    assert limits_for("premium", plan_limits) == PREMIUM


def test_monthly_uploads_is_not_the_quota_of_extractions() -> None:
    assert limits_for("free", {"monthly_uploads": 99}) == FREE


@given(MOMENTS)
@example(datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC))
@example(datetime(2023, 12, 31, 23, 59, 59, 999_000, UTC))
@example(datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))))
def test_every_moment_lies_in_exactly_one_utc_month(moment: datetime) -> None:
    begin, end = month_start(moment), next_month_start(moment)
    assert begin <= moment < end
    assert (begin.day, begin.time(), begin.tzinfo) == (1, datetime.min.time(), UTC)
    assert (end.day, end.time(), end.tzinfo) == (1, datetime.min.time(), UTC)
    assert (begin.year, begin.month) == (moment.astimezone(UTC).year, moment.astimezone(UTC).month)
    assert (end - begin).days == monthrange(begin.year, begin.month)[1]
    assert month_start(begin) == begin
    assert month_start(end) == end
    assert month_start(end - timedelta(microseconds=1)) == begin


@pytest.mark.parametrize("year", [1999, 2000, 2023, 2024, 2100])
@pytest.mark.parametrize("month", range(1, 13))
def test_the_last_and_the_first_millisecond_of_a_month(year: int, month: int) -> None:
    first = datetime(year, month, 1, tzinfo=UTC)
    last = datetime(year, month, monthrange(year, month)[1], 23, 59, 59, 999_000, UTC)
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    assert month_start(first) == month_start(last) == first
    assert next_month_start(first) == next_month_start(last) == following == last + MILLISECOND
    assert month_start(first - MILLISECOND) < first


@given(current=st.integers(0, 100), limit=st.integers(-1, 100), moment=MOMENTS)
@example(current=0, limit=0, moment=datetime(2026, 1, 1, tzinfo=UTC))
@example(current=10**6, limit=-1, moment=datetime(2026, 1, 1, tzinfo=UTC))
def test_a_quota_lets_in_exactly_as_many_as_it_says(current: int, limit: int, moment: datetime) -> None:
    check = quota_check(current, limit, moment)
    assert check.allowed is has_room(current, limit) is (limit == -1 or current < limit)
    assert (check.current, check.limit, check.resets_at) == (current, limit, next_month_start(moment))
    assert (check.reason is None) is check.allowed


@given(current=st.integers(0, 100), limit=st.integers(-1, 100), moment=MOMENTS)
def test_the_next_upload_is_let_in_when_the_blocking_one_is_an_hour_old(
    current: int, limit: int, moment: datetime
) -> None:
    blocking = moment - timedelta(minutes=12, microseconds=1)
    check = rate_check(current, limit, blocking, moment)
    assert (check.allowed, check.current, check.limit) == (has_room(current, limit), current, limit)
    assert check.reset_at == (moment if check.allowed else blocking + HOUR)


def test_with_a_limit_of_zero_no_moment_is_named() -> None:
    assert rate_check(0, 0, None, datetime(2026, 1, 1, tzinfo=UTC)).reset_at is None
