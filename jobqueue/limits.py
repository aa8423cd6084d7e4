"""How much a user may submit: a quota per calendar month (UTC) and a limit over any 60 minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

UNLIMITED = -1
HOUR = timedelta(minutes=60)


@dataclass(frozen=True, slots=True)
class Limits:
    """``monthly`` counts jobs accepted in a month, ``hourly`` jobs and retries within 60 minutes; -1 is unlimited."""

    monthly: int
    hourly: int


PLAN_LIMITS: Mapping[str, Limits] = {
    "free": Limits(monthly=5, hourly=10),
    "premium": Limits(monthly=50, hourly=20),
    "enterprise": Limits(monthly=UNLIMITED, hourly=50),
}


@dataclass(frozen=True, slots=True)
class QuotaCheckResult:
    """Whether one more job fits into this month; ``resets_at`` is when the next month begins."""

    allowed: bool
    current: int
    limit: int
    reason: str | None
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class RateLimitCheckResult:
    """Whether one more upload is let in now; ``reset_at`` is the moment the next one is (now, if ``allowed``).

    With a limit of 0 none ever is, and ``reset_at`` is ``None``.
    """

    allowed: bool
    current: int
    limit: int
    reset_at: datetime | None


def limits_for(plan: Any, plan_limits: Any) -> Limits:
    """The limits of a profile.

    ``plan_limits`` override the plan's defaults with ``ocr_jobs`` (a month) and ``hourly_uploads`` (60 minutes). Only
    a whole number, -1 or more, overrides; null, text and anything else leave the default. An unknown plan is ``free``.
    """
    defaults = PLAN_LIMITS.get(plan if isinstance(plan, str) else "", PLAN_LIMITS["free"])
    given = plan_limits if isinstance(plan_limits, Mapping) else {}
    return Limits(
        monthly=_override(given.get("ocr_jobs"), defaults.monthly),
        hourly=_override(given.get("hourly_uploads"), defaults.hourly),
    )


def _override(value: Any, default: int) -> int:
    is_limit = isinstance(value, int) and not isinstance(value, bool) and value >= UNLIMITED
    return int(value) if is_limit else default


def month_start(now: datetime) -> datetime:
    """The first moment of the UTC month that ``now`` lies in."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month_start(now: datetime) -> datetime:
    """The first moment of the UTC month after the one that ``now`` lies in."""
    return month_start(month_start(now) + timedelta(days=32))


def counted_since(now: datetime) -> datetime:
    """Whatever was created before this moment is in neither count, the month's or the hour's, now or later.

    In the first hour of a month the last one still counts as present: a submission that began in it may be counting.
    """
    return month_start(now - HOUR)


def has_room(current: int, limit: int) -> bool:
    """Whether one more fits."""
    return limit == UNLIMITED or current < limit


def quota_check(current: int, limit: int, now: datetime) -> QuotaCheckResult:
    allowed = has_room(current, limit)
    reason = None if allowed else f"The monthly quota of {limit} extractions is used up."
    return QuotaCheckResult(allowed, current, limit, reason, next_month_start(now))


def rate_check(current: int, limit: int, blocking: datetime | None, now: datetime) -> RateLimitCheckResult:
    """``blocking`` is the upload that must leave the 60 minutes first: the ``limit``-th newest, if there is one."""
    if has_room(current, limit):
        return RateLimitCheckResult(True, current, limit, now)
    return RateLimitCheckResult(False, current, limit, None if blocking is None else blocking + HOUR)
