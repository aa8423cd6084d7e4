"""How the queue stands: one statement over indexes, cheap enough to be asked every second."""

from __future__ import annotations

from sqlalchemy import Connection, text

from jobqueue.health import QueueState, WorkerPresence

# Beyond it a backlog is only counted as so many or more.
COUNTED_DUE = 10_000

# A lost message's job waits from now on when the message is sent again (run_after), but its user waits from the start.
_STATE = text("""
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
            WHERE status = 'processing' AND lease_expires_at < moment.now) AS orphaned_for,
        (SELECT extract(epoch FROM moment.now - event.at)::float8 FROM menu_extraction_job_events AS event
            WHERE event.cursor IS NULL ORDER BY event.id LIMIT 1) AS oldest_unnumbered,
        (SELECT extract(epoch FROM moment.now - min(event.at))::float8 FROM menu_extraction_job_events AS event
            WHERE event.cursor > relay.published_cursor) AS oldest_unpublished,
        relay.leader,
        CASE WHEN relay.lead_until < moment.now THEN extract(epoch FROM moment.now - relay.lead_until)::float8
            END AS unled_for,
        relay.lead_until IS NOT NULL AS was_led,
        extract(epoch FROM moment.now - relay.swept_at)::float8 AS swept_ago
    FROM moment CROSS JOIN menu_extraction_relay AS relay
""")

_WORKERS = text("""
    SELECT worker.name, worker.consuming,
           extract(epoch FROM clock_timestamp() - worker.seen_at)::float8 AS seen_ago,
           extract(epoch FROM clock_timestamp() - coalesce(worker.received_at, worker.started_at))::float8
               AS received_ago,
           (SELECT count(*) FROM menu_extraction_jobs AS job
            WHERE job.status = 'processing' AND starts_with(job.worker, worker.name || '/')) AS holds
    FROM menu_extraction_workers AS worker ORDER BY worker.name
""")


def queue_state(connection: Connection) -> QueueState:
    row = connection.execute(_STATE, {"counted": COUNTED_DUE}).one()
    workers = connection.execute(_WORKERS).all()
    return QueueState(
        due=row.due,
        oldest_due=row.oldest_due,
        processing=row.processing,
        orphaned_for=row.orphaned_for,
        oldest_unrelayed=max((age for age in (row.oldest_unnumbered, row.oldest_unpublished) if age), default=None),
        leader=row.leader,
        led=row.unled_for is None and row.was_led,
        unled_for=row.unled_for,
        swept_ago=row.swept_ago,
        workers=tuple(
            WorkerPresence(one.name, one.seen_ago, one.consuming, one.received_ago, one.holds) for one in workers
        ),
    )
