"""How often a job is attempted and how long it waits in between.

The attempt number lives in the job's row and is counted when a worker claims the job, so the cap holds whatever
is killed. Celery's own retry counter lives in a message and is lost with it. Attempts that a worker gave back because
it was asked to stop are not charged: the numbers here leave them out.
"""

from __future__ import annotations

import random

MAX_RETRIES = 3
MAX_ATTEMPTS = 1 + MAX_RETRIES
MAX_BACKOFF_SECONDS = 600.0


def may_retry(attempt: int) -> bool:
    """Whether another attempt is allowed after attempt number ``attempt`` (1-based) failed transiently."""
    return attempt < MAX_ATTEMPTS


def backoff_seconds(
    attempt: int, base: float, *, retry_after: float | None = None, rng: random.Random | None = None
) -> float:
    """Seconds to wait after failed attempt number ``attempt``: exponential, capped, with jitter.

    The jitter spreads over the upper half of the interval: enough to keep a crowd from coming back at once, and never
    zero, which would make a retry follow a failure immediately. A provider's own ``retry_after`` is a lower bound.
    """
    if attempt < 1:
        raise ValueError("attempt counts from 1")
    ceiling = min(base * 2.0 ** min(attempt - 1, 32), MAX_BACKOFF_SECONDS)
    draw = rng.random() if rng is not None else random.random()  # noqa: S311 - jitter is no secret
    delay = ceiling * (0.5 + 0.5 * draw)
    return max(delay, min(retry_after or 0.0, MAX_BACKOFF_SECONDS))
