"""How the queue stands: a few reads over indexes, cheap enough to be asked every second."""

from __future__ import annotations

from sqlalchemy import Connection, text

from jobqueue.health import QueueState
from jobqueue.store.relay_state import relay_state
from jobqueue.store.workers import known_workers

# Beyond it a backlog is only counted as so many or more.
COUNTED_DUE = 10_000

# When a lost message is sent again its job counts as waiting from then on (run_after), but its user has waited longer.
_JOBS = text("""
    WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS now)
    SELECT
        (SELECT count(*) FROM (
            SELECT FROM menu_extraction_jobs
            WHERE status = 'queued' AND run_after <= moment.now LIMIT :counted) AS due) AS due,
        (SELECT extract(epoch FROM moment.now - CASE WHEN attempt = 0 THEN created_at ELSE run_after END)::float8
            FROM menu_extraction_jobs
            WHERE status = 'queued' AND run_after <= moment.now ORDER BY run_after LIMIT 1) AS oldest_due,
        (SELECT count(*) FROM menu_extraction_jobs WHERE status = 'processing') AS processing,
        (SELECT extract(epoch FROM moment.now - min(lease_expires_at))::float8 FROM menu_extraction_jobs
            WHERE status = 'processing' AND lease_expires_at < moment.now) AS orphaned_for
    FROM moment
""")


def queue_state(connection: Connection) -> QueueState:
    jobs = connection.execute(_JOBS, {"counted": COUNTED_DUE}).one()
    relay = relay_state(connection)
    return QueueState(
        due=jobs.due,
        oldest_due=jobs.oldest_due,
        processing=jobs.processing,
        orphaned_for=jobs.orphaned_for,
        oldest_unrelayed=relay.lag_seconds,
        leader=relay.leader,
        led=relay.led,
        unled_for=relay.unled_seconds,
        swept_ago=relay.swept_seconds_ago,
        workers=known_workers(connection),
    )
