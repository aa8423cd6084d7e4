"""Times that the database's clock decides, so that workers' clocks need not agree."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, DateTime, Double, Interval, func, literal, type_coerce


def seconds_from_now(seconds: float) -> ColumnElement[datetime]:
    """The moment ``seconds`` after (or, negative, before) the statement runs."""
    span = func.make_interval(0, 0, 0, 0, 0, 0, literal(seconds, Double), type_=Interval)
    return type_coerce(func.clock_timestamp() + span, DateTime(timezone=True))
