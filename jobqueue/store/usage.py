"""Counting what a user has submitted: exact while the user's row is locked, a snapshot otherwise."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select

from jobqueue.errors import UserNotFoundError
from jobqueue.limits import (
    HOUR,
    Limits,
    QuotaCheckResult,
    RateLimitCheckResult,
    limits_for,
    month_start,
    next_month_start,
    quota_check,
    rate_check,
)
from jobqueue.store.submitter import Clock
from jobqueue.tables import JOBS, Profile, auth_users


def monthly_usage(connection: Connection, user_id: UUID, limit: int, now: datetime) -> QuotaCheckResult:
    """Jobs accepted in the calendar month (UTC) of ``now``; retries are not counted."""
    counted = select(func.count()).where(
        JOBS.c.user_id == user_id,
        JOBS.c.created_at >= month_start(now),
        JOBS.c.created_at < next_month_start(now),
        JOBS.c.retry_of.is_(None),
    )
    return quota_check(connection.execute(counted).scalar_one(), limit, now)


def hourly_usage(connection: Connection, user_id: UUID, limit: int, now: datetime) -> RateLimitCheckResult:
    """Jobs and retries within the 60 minutes up to ``now``."""
    recent = (JOBS.c.user_id == user_id, JOBS.c.created_at > now - HOUR, JOBS.c.created_at <= now)
    current: int = connection.execute(select(func.count()).where(*recent)).scalar_one()
    blocking: datetime | None = None
    if 0 < limit <= current:
        newest_first = select(JOBS.c.created_at).where(*recent).order_by(JOBS.c.created_at.desc())
        blocking = connection.execute(newest_first.offset(limit - 1).limit(1)).scalar()
    return rate_check(current, limit, blocking, now)


def check_quota(connection: Connection, user_id: UUID, clock: Clock | None = None) -> QuotaCheckResult:
    now, limits = _now_and_limits(connection, user_id, clock)
    return monthly_usage(connection, user_id, limits.monthly, now)


def check_rate_limit(
    connection: Connection, user_id: UUID, limit: int | None = None, clock: Clock | None = None
) -> RateLimitCheckResult:
    now, limits = _now_and_limits(connection, user_id, clock)
    return hourly_usage(connection, user_id, limits.hourly if limit is None else limit, now)


def _now_and_limits(connection: Connection, user_id: UUID, clock: Clock | None) -> tuple[datetime, Limits]:
    profile = Profile.__table__
    row = connection.execute(
        select(func.clock_timestamp().label("now"), profile.c.plan, profile.c.plan_limits)
        .select_from(auth_users.outerjoin(profile, profile.c.id == auth_users.c.id))
        .where(auth_users.c.id == user_id)
    ).one_or_none()
    if row is None:
        raise UserNotFoundError("There is no user with this id.")
    return row.now if clock is None else clock(), limits_for(row.plan, row.plan_limits)
