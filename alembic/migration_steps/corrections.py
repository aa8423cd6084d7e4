"""Bringing old rows to what the new table demands, in small steps beside running programs.

What is missing is filled in. What contradicts the new rules is changed, and its former value kept in
``menu_extraction_corrected_jobs``, from where the downgrade restores it.
"""

from __future__ import annotations

from migration_steps.database import query, run, scalar

TABLE = "menu_extraction_corrected_jobs"
# A step's locks are held for some tens of milliseconds.
PAGES_A_STEP = 200
# Old programs may still be at work on what they began.
LEASE = "interval '30 seconds'"

OVERWRITTEN = ("image_url", "status", "error_message", "processing_time", "retry_count", "completed_at")

_MESSAGES = {
    "no_status": "The job had no valid status when the queue was upgraded; submit the picture again.",
    "no_result": "The result of this job was never stored; submit the picture again.",
    "no_address": "The job had no picture when the queue was upgraded; submit it again.",
}

# A row that names no user, or one that is gone, has no place in the new table; it is kept whole.
SET_ASIDE = f"""
    WITH orphan AS (
        DELETE FROM menu_extraction_jobs AS job
        WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:behind AS tid)
              AND NOT EXISTS (SELECT FROM auth.users WHERE users.id = job.user_id)
        RETURNING *
    )
    INSERT INTO {TABLE} (job_id, original)
    SELECT id, jsonb_strip_nulls(to_jsonb(orphan)) FROM orphan
"""

CORRECT = f"""
    WITH wrong AS (
        SELECT id, image_url, status, error_message, processing_time, retry_count, created_at, completed_at,
               event_seq,
               CASE WHEN status IS NULL
                         OR status NOT IN ('queued', 'processing', 'completed', 'failed') THEN 'no_status'
                    WHEN status = 'completed' AND result IS NULL THEN 'no_result'
                    WHEN image_url IS NULL AND status IN ('queued', 'processing') THEN 'no_address'
               END AS fault
        FROM menu_extraction_jobs
        WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:behind AS tid)
              AND (event_seq = 0 AND (status IN ('queued', 'processing')) IS NOT FALSE
                   OR status IS NULL OR status NOT IN ('queued', 'processing', 'completed', 'failed')
                   OR (status = 'completed' AND result IS NULL)
                   OR ((status IN ('completed', 'failed')) IS DISTINCT FROM (completed_at IS NOT NULL))
                   OR image_url IS NULL OR retry_count IS NULL OR created_at IS NULL
                   OR retry_count < 0 OR processing_time < 0)
        FOR UPDATE
    ), correct AS (
        SELECT id,
               coalesce(image_url, '') AS image_url,
               CASE WHEN fault IS NULL THEN status ELSE 'failed' END AS status,
               CASE fault WHEN 'no_status' THEN 'STATUS_MISSING' WHEN 'no_result' THEN 'RESULT_MISSING'
                          WHEN 'no_address' THEN 'IMAGE_MISSING' END AS error_code,
               coalesce(error_message,
                        CASE fault WHEN 'no_status' THEN '{_MESSAGES["no_status"]}'
                                   WHEN 'no_result' THEN '{_MESSAGES["no_result"]}'
                                   WHEN 'no_address' THEN '{_MESSAGES["no_address"]}' END) AS error_message,
               CASE WHEN processing_time >= 0 THEN processing_time END AS processing_time,
               greatest(coalesce(retry_count, 0), 0) AS retry_count,
               coalesce(created_at, completed_at, clock_timestamp()) AS created_at,
               CASE WHEN fault IS NULL AND status IN ('queued', 'processing') THEN NULL
                    ELSE coalesce(completed_at,
                                  created_at + greatest(coalesce(processing_time, 0), 0) * interval '1 millisecond',
                                  clock_timestamp()) END AS completed_at,
               CASE WHEN fault IS NULL AND status = 'processing' THEN clock_timestamp() + {LEASE} END
                   AS lease_expires_at
        FROM wrong
    ), kept AS (
        INSERT INTO {TABLE} (job_id, original, corrected)
        SELECT id,
               jsonb_build_object({", ".join(f"'{name}', wrong.{name}" for name in OVERWRITTEN)}),
               jsonb_build_object({", ".join(f"'{name}', correct.{name}" for name in OVERWRITTEN)})
        FROM wrong JOIN correct USING (id)
        WHERE fault IS NOT NULL OR wrong.image_url IS NULL OR wrong.retry_count < 0 OR wrong.processing_time < 0
              OR (wrong.completed_at IS NOT NULL AND correct.completed_at IS NULL)
        ON CONFLICT (job_id) DO NOTHING
    )
    UPDATE menu_extraction_jobs AS job
    SET image_url = correct.image_url, status = correct.status, error_message = correct.error_message,
        error_code = coalesce(correct.error_code, job.error_code), processing_time = correct.processing_time,
        retry_count = correct.retry_count, created_at = correct.created_at, completed_at = correct.completed_at,
        lease_expires_at = coalesce(job.lease_expires_at, correct.lease_expires_at)
    FROM correct WHERE job.id = correct.id
"""

RESTORE = f"""
    UPDATE ocr_jobs AS job
    SET {", ".join(f"{name} = original.{name}" for name in OVERWRITTEN)}
    FROM {TABLE} AS kept, LATERAL jsonb_populate_record(NULL::ocr_jobs, kept.original) AS original
    WHERE job.id = kept.job_id AND kept.corrected IS NOT NULL AND to_jsonb(job) @> kept.corrected
"""
RESTORE_SET_ASIDE = f"""
    INSERT INTO ocr_jobs SELECT original.*
    FROM {TABLE} AS kept, LATERAL jsonb_populate_record(NULL::ocr_jobs, kept.original) AS original
    WHERE kept.corrected IS NULL
"""


def create_corrections() -> None:
    run(f"CREATE TABLE IF NOT EXISTS {TABLE} (job_id uuid PRIMARY KEY, original jsonb NOT NULL, corrected jsonb)")


def correct_rows() -> None:
    """Go through the table once; each step commits by itself. To be called outside a transaction.

    Rows that others write meanwhile keep the rules already, wherever in the table they end up.
    """
    run("SET timezone = 'UTC'")
    pages = scalar("SELECT pg_relation_size('menu_extraction_jobs') / current_setting('block_size')::bigint") or 0
    users_are_known = scalar("""
        SELECT count(*) = 2 FROM (
            SELECT FROM pg_constraint WHERE conname = 'menu_extraction_jobs_user_id_fkey' AND convalidated
                   AND conrelid = 'menu_extraction_jobs'::regclass
            UNION ALL
            SELECT FROM pg_attribute WHERE attrelid = 'menu_extraction_jobs'::regclass AND attname = 'user_id'
                   AND attnotnull) AS sure
    """)
    for first in range(0, pages, PAGES_A_STEP):
        pages_of_step = {"first": f"({first},0)", "behind": f"({first + PAGES_A_STEP},0)"}
        if not users_are_known:
            query(SET_ASIDE, **pages_of_step)
        query(CORRECT, **pages_of_step)
    run("RESET timezone")


def restore_rows() -> None:
    """Give corrected rows that nobody changed since their old values, and bring back those set aside."""
    run("SET LOCAL timezone = 'UTC'")
    run(RESTORE)
    run(RESTORE_SET_ASIDE)
    run(f"DROP TABLE {TABLE}")
