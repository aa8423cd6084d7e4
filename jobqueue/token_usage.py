"""What the attempts of a job cost together."""

from __future__ import annotations

import math
from typing import Any

from jobqueue.errors import InvalidResultError
from jobqueue.menu_result import refuse_unstorable

COUNTED = ("inputTokens", "outputTokens", "estimatedCost")


def added_usage(earlier: dict[str, Any] | None, latest: Any) -> dict[str, Any] | None:
    """The usage of earlier attempts and of the latest one together.

    ``inputTokens``, ``outputTokens`` and ``estimatedCost`` are added up, over the attempts that know them: a figure
    that none knows stays ``None`` and is never 0. Anything else is taken from the latest attempt. A usage that
    cannot be stored counts as none: what an attempt cost must never keep its end from being written.
    """
    if not _storable(latest):
        return earlier
    if earlier is None:
        return dict(latest)
    return {**earlier, **latest, **{name: _sum(earlier, latest, name) for name in COUNTED}}


def _storable(usage: Any) -> bool:
    if not isinstance(usage, dict):
        return False
    try:
        refuse_unstorable(usage, "token usage")
    except InvalidResultError:
        return False
    return True


def _sum(earlier: dict[str, Any], latest: dict[str, Any], name: str) -> float | None:
    known = [usage[name] for usage in (earlier, latest) if _is_number(usage.get(name))]
    return sum(known) if known else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
