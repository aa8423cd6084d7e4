"""One user's submissions, one after the other; different users never wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from jobqueue.limits import Limits, limits_for

Clock = Callable[[], datetime]

# Reading the profile in the same statement saves a round trip; that its snapshot is older than the lock is harmless,
# because a plan is not changed by submissions.
_LOCK = text("""
    WITH submitter AS (
        INSERT INTO menu_extraction_submitters (user_id) VALUES (:user_id)
        ON CONFLICT (user_id) DO UPDATE SET locked_at = clock_timestamp()
        RETURNING clock_timestamp() AS now
    )
    SELECT submitter.now, profiles.plan, profiles.plan_limits
    FROM submitter LEFT JOIN profiles ON profiles.id = :user_id
""")


@dataclass(frozen=True, slots=True)
class Submitter:
    """A user whose row is locked to the end of the transaction; ``now`` is a moment after the lock was got."""

    user_id: UUID
    now: datetime
    limits: Limits


def lock_submitter(connection: Connection, user_id: UUID, clock: Clock | None = None) -> Submitter:
    """Wait for this user's other submissions and hold off later ones until the transaction ends.

    A row and not an advisory lock, because a transaction of a stricter isolation level than READ COMMITTED then fails
    instead of counting with a snapshot from before the wait.
    """
    row = connection.execute(_LOCK, {"user_id": user_id}).one()
    return Submitter(user_id, row.now if clock is None else clock(), limits_for(row.plan, row.plan_limits))
