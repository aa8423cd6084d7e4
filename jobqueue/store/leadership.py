"""Which notifier leads: a lease in the relay's row, with a term that only grows and fences whoever led before.

A leader may be stopped at any moment and go on much later, so it is not enough to have been the leader: every
statement that writes for the relay names its term and is refused when there is a newer one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Exists, func, null, select, text, update
from sqlalchemy.exc import DBAPIError

from jobqueue.store.interval import seconds_from_now
from jobqueue.tables import RELAY

# The function that numbers events renews the lead by as much.
LEAD_SECONDS = 3.0
# A lead that ends later than this was taken before the database's clock was set back: it would end only when the clock
# is there again, and nobody could lead until then. Whoever still leads has renewed it within a second.
IMPOSSIBLE_SECONDS = 2 * LEAD_SECONDS
STALE_TERM = "MJ001"


class LeadLostError(Exception):
    """Another notifier leads by now; nothing was written."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The lead, just taken. ``unled_seconds`` have passed since anybody renewed it; ``None`` if that cannot be known.

    ``installation`` tells this database from another one that uses the same Redis.
    """

    term: int
    published_cursor: int
    unled_seconds: float | None
    installation: UUID


_TAKE = text("""
    WITH before AS (
        SELECT CASE WHEN lead_until > now + make_interval(secs => :impossible) THEN NULL
                    WHEN leader IS NULL THEN now - lead_until
                    ELSE now - (lead_until - make_interval(secs => :seconds)) END AS unled
        FROM menu_extraction_relay, (SELECT clock_timestamp() AS now) AS clock
        WHERE lead_until IS NULL OR lead_until < now OR lead_until > now + make_interval(secs => :impossible)
              OR leader = :leader
        -- Whoever waited for a lock here could only find that somebody else was faster.
        FOR UPDATE OF menu_extraction_relay SKIP LOCKED
    )
    UPDATE menu_extraction_relay
    SET leader = :leader, term = greatest(term, :newest_seen) + 1,
        lead_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM before
    RETURNING term, published_cursor, EXTRACT(EPOCH FROM before.unled) AS unled_seconds, installation
""")


def take_lead(connection: Connection, leader: str, newest_seen: int = 0) -> Lead | None:
    """Become the leader if there is none, or none that still renews its lead; never waits.

    ``leader`` names one process. The new term is greater than ``newest_seen``, which is what other places than this
    database (restored from a backup, perhaps) have heard of.
    """
    values = {"newest_seen": newest_seen, "seconds": LEAD_SECONDS, "impossible": IMPOSSIBLE_SECONDS}
    row = connection.execute(_TAKE, {"leader": leader, **values}).one_or_none()
    if row is None:
        return None
    unled = None if row.unled_seconds is None else float(row.unled_seconds)
    return Lead(row.term, row.published_cursor, unled, row.installation)


def renew_lead(connection: Connection, term: int, published: int) -> None:
    """Keep the lead, and record that everything up to ``published`` went out. Raises ``LeadLostError``."""
    renewed = connection.execute(
        update(RELAY)
        .where(RELAY.c.term == term)
        .values(
            lead_until=seconds_from_now(LEAD_SECONDS),
            published_cursor=func.greatest(RELAY.c.published_cursor, published),
        )
    )
    if renewed.rowcount == 0:
        raise LeadLostError


def release_lead(connection: Connection, term: int) -> None:
    """Let the next one lead at once; does nothing if it does already."""
    connection.execute(
        update(RELAY).where(RELAY.c.term == term).values(leader=null(), lead_until=func.clock_timestamp())
    )


def record_sweep(connection: Connection, term: int) -> None:
    """Record that a look through all jobs has ended, and keep the lead. Raises ``LeadLostError``."""
    recorded = connection.execute(
        update(RELAY)
        .where(RELAY.c.term == term)
        .values(swept_at=func.clock_timestamp(), lead_until=seconds_from_now(LEAD_SECONDS))
    )
    if recorded.rowcount == 0:
        raise LeadLostError


def fence(term: int) -> Exists:
    """Whether ``term`` is the newest. If so, no newer one begins before the statement's transaction has ended."""
    newest = select(RELAY.c.term).where(RELAY.c.term == term).with_for_update(read=True).cte("newest_term")
    return select(newest.c.term).exists()


@contextmanager
def refused_as_lead_lost() -> Iterator[None]:
    """Turn the refusal of a stale term by a function of the database into ``LeadLostError``."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) == STALE_TERM:
            raise LeadLostError from None
        raise
