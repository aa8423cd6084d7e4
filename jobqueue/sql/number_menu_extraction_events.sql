-- Gives the oldest events without a cursor their place in the one order of all events, and records that everything up
-- to `published` went out. Returns the numbered events; `previous` is the cursor before the first of them. Without any
-- to number, but with some that were numbered behind `published`, it returns one row with nothing but `previous`.
--
-- Only the leader's newest term may: another one is refused with SQLSTATE MJ001. Whoever is let in has renewed its lead.
--
-- Each statement of a volatile function sees what had committed when it began. So whoever waits here for the relay row
-- continues with what its last holder numbered, and no event is numbered twice or out of order, however many call.
-- Within a job `id` grows with `seq`, because a job's events are written under the lock of its row.
--
-- Events that another transaction holds locked (it deletes their user, say) are left for later, and so are the later
-- events of the same jobs; nobody else's wait for them.
CREATE OR REPLACE FUNCTION number_menu_extraction_events(term bigint, published bigint, batch integer)
RETURNS TABLE (
    job_id uuid, seq integer, user_id uuid, status varchar, attempt smallint, confidence real, at timestamptz,
    "cursor" bigint, dispatch boolean, previous bigint
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    relay menu_extraction_relay%ROWTYPE;
    free bigint[];
    next bigint[];
    nothing_left boolean;
BEGIN
    SELECT * INTO relay FROM menu_extraction_relay FOR UPDATE;
    IF relay.term IS DISTINCT FROM number_menu_extraction_events.term THEN
        RAISE EXCEPTION 'term % does not lead the relay any more', number_menu_extraction_events.term
            USING ERRCODE = 'MJ001';
    END IF;

    free := ARRAY(
        SELECT event.id FROM menu_extraction_job_events AS event
        WHERE event.cursor IS NULL ORDER BY event.id LIMIT batch
        FOR NO KEY UPDATE SKIP LOCKED);
    next := ARRAY(
        SELECT event.id FROM menu_extraction_job_events AS event
        WHERE event.cursor IS NULL AND event.id = ANY (free) AND NOT EXISTS (
            SELECT FROM menu_extraction_job_events AS earlier
            WHERE earlier.job_id = event.job_id AND earlier.seq < event.seq
                AND earlier.cursor IS NULL AND earlier.id <> ALL (free))
        ORDER BY event.id);
    IF cardinality(free) > 0 AND cardinality(next) = 0 THEN
        -- A whole batch waits for locked events before it. Behind it there may be jobs that wait for nobody.
        next := ARRAY(
            SELECT event.id FROM menu_extraction_job_events AS event
            WHERE event.cursor IS NULL AND NOT EXISTS (
                SELECT FROM menu_extraction_job_events AS earlier
                WHERE earlier.job_id = event.job_id AND earlier.seq < event.seq AND earlier.cursor IS NULL)
            ORDER BY event.id LIMIT batch
            FOR NO KEY UPDATE SKIP LOCKED);
    END IF;

    IF cardinality(next) > 0 THEN
        RETURN QUERY
        WITH event AS (
            UPDATE menu_extraction_job_events AS event SET cursor = relay.last_cursor + numbered.place
            FROM unnest(next) WITH ORDINALITY AS numbered (id, place)
            WHERE event.id = numbered.id AND event.cursor IS NULL
            RETURNING event.*
        )
        SELECT event.job_id, event.seq, event.user_id, event.status, event.attempt, event.confidence,
               -- What the driver could not represent would keep the whole batch from the relay.
               CASE WHEN event.at BETWEEN '0001-01-02' AND '9999-12-30' THEN event.at END,
               event.cursor,
               event.status = 'queued' AND job.status = 'queued' AND job.run_after <= clock_timestamp(),
               relay.last_cursor
        FROM event JOIN menu_extraction_jobs AS job ON job.id = event.job_id
        ORDER BY event.cursor;
        nothing_left := false;
    ELSE
        nothing_left := published >= relay.last_cursor
            AND NOT EXISTS (SELECT FROM menu_extraction_job_events AS event WHERE event.cursor IS NULL);
        IF published < relay.last_cursor THEN
            previous := relay.last_cursor;
            RETURN NEXT;
        END IF;
    END IF;

    UPDATE menu_extraction_relay
    SET last_cursor = relay.last_cursor + cardinality(next),
        published_cursor = greatest(published_cursor, published),
        lead_until = CASE WHEN leader IS NOT NULL THEN clock_timestamp() + interval '3 seconds' END,
        relayed_at = CASE WHEN nothing_left THEN clock_timestamp() ELSE relayed_at END;
END
$$;
