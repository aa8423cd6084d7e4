-- Gives the oldest events without a cursor their place in the one order of all events, and records that everything up
-- to `published` went out. Returns the numbered events; `previous` is the cursor before the first of them.
--
-- Each statement of a volatile function sees what had committed when it began. So whoever waits here for the relay row
-- continues with what its last holder numbered, and no event is numbered twice or out of order, however many call.
-- Within a job `id` grows with `seq`, because a job's events are written under the lock of its row.
CREATE OR REPLACE FUNCTION number_menu_extraction_events(published bigint, batch integer)
RETURNS TABLE (
    job_id uuid, seq integer, user_id uuid, status varchar, attempt smallint, confidence real, at timestamptz,
    "cursor" bigint, dispatch boolean, previous bigint
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    relay menu_extraction_relay%ROWTYPE;
    numbered bigint;
BEGIN
    SELECT * INTO relay FROM menu_extraction_relay FOR UPDATE;

    RETURN QUERY
    WITH pending AS (
        SELECT oldest.job_id, oldest.seq, row_number() OVER (ORDER BY oldest.id) AS place
        FROM (
            SELECT event.job_id, event.seq, event.id FROM menu_extraction_job_events AS event
            WHERE event.cursor IS NULL ORDER BY event.id LIMIT batch
        ) AS oldest
    ), event AS (
        UPDATE menu_extraction_job_events AS event SET cursor = relay.last_cursor + pending.place
        FROM pending
        WHERE event.job_id = pending.job_id AND event.seq = pending.seq
        RETURNING event.*
    )
    SELECT event.job_id, event.seq, event.user_id, event.status, event.attempt, event.confidence, event.at,
           event.cursor,
           event.status = 'queued' AND job.status = 'queued' AND job.run_after <= clock_timestamp(),
           relay.last_cursor
    FROM event JOIN menu_extraction_jobs AS job ON job.id = event.job_id
    ORDER BY event.cursor;
    GET DIAGNOSTICS numbered = ROW_COUNT;

    IF numbered > 0 OR published > relay.published_cursor THEN
        -- Not the count: an event whose job was deleted meanwhile leaves its place empty.
        UPDATE menu_extraction_relay
        SET last_cursor = greatest(last_cursor, (SELECT max(event.cursor) FROM menu_extraction_job_events AS event)),
            published_cursor = greatest(published_cursor, published);
    END IF;
END
$$;
