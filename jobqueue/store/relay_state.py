"""What the relay's health is judged by: who leads, how far behind it is, when it last did its rounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from jobqueue.store.leadership import IMPOSSIBLE_SECONDS


@dataclass(frozen=True, slots=True)
class RelayState:
    """All times and ages by the database's clock. An age is ``None`` where there is nothing to measure.

    ``led``: somebody holds the lead right now; ``leader`` is who took it last and did not give it back.
    ``lag_seconds``: age of the oldest event that was not certainly published. ``relayed_at``: when a leader last found
    that everything had gone out. ``swept_seconds_ago``: since the jobs were last looked through.
    ``unled_seconds``: how long nobody has led; ``None`` also if nobody ever did, or if the clock was set back since.
    """

    leader: str | None
    term: int
    led: bool
    unled_seconds: float | None
    relayed_at: datetime | None
    swept_at: datetime | None
    lag_seconds: float | None
    swept_seconds_ago: float | None


# Two rows from the ends of two indexes, however many events there are.
_STATE = text("""
    SELECT leader, term, relayed_at,
           coalesce(leader IS NOT NULL AND lead_until BETWEEN now AND latest, false) AS led,
           EXTRACT(EPOCH FROM now - CASE WHEN lead_until <= latest THEN lead_until END) AS unled,
           swept_at, EXTRACT(EPOCH FROM now - oldest.at) AS lag,
           EXTRACT(EPOCH FROM now - swept_at) AS swept
    FROM menu_extraction_relay AS relay, (SELECT clock_timestamp() AS now) AS clock,
        LATERAL (SELECT now + make_interval(secs => :impossible) AS latest) AS possible,
        LATERAL (SELECT least(
            (SELECT at FROM menu_extraction_job_events WHERE cursor IS NULL ORDER BY id LIMIT 1),
            (SELECT at FROM menu_extraction_job_events WHERE cursor > relay.published_cursor ORDER BY cursor LIMIT 1)
        ) AS at) AS oldest
""")


def relay_state(connection: Connection) -> RelayState:
    """One cheap statement that waits for no lock of a row."""
    row = connection.execute(_STATE, {"impossible": IMPOSSIBLE_SECONDS}).one()
    return RelayState(
        leader=row.leader,
        term=row.term,
        led=row.led,
        unled_seconds=None if row.led else _age(row.unled),
        relayed_at=_utc(row.relayed_at),
        swept_at=_utc(row.swept_at),
        lag_seconds=_age(row.lag),
        swept_seconds_ago=_age(row.swept),
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _age(seconds: object) -> float | None:
    return None if seconds is None else max(0.0, float(str(seconds)))
