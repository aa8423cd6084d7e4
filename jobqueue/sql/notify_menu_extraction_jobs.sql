-- Writes each status change into the job's history, which is also the outbox that the notifier relays from, and wakes
-- the notifier. The history row commits with the change, so neither exists without the other.
--
-- Runs with its owner's rights: who may write a job needs none on the event log. Nobody else may make a trigger of it,
-- which could tell of jobs that do not exist.
CREATE OR REPLACE FUNCTION notify_menu_extraction_jobs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    notify_mode text;
BEGIN
    INSERT INTO menu_extraction_job_events
        (job_id, seq, user_id, status, attempt, confidence, worker, error_code, error_message, at)
    VALUES
        (NEW.id, NEW.event_seq, NEW.user_id, NEW.status, NEW.attempt, NEW.confidence, NEW.worker,
         NEW.error_code, NEW.error_message, clock_timestamp());

    SELECT value INTO notify_mode FROM menu_extraction_settings WHERE name = 'notify_mode';
    IF notify_mode = 'wake_up' THEN
        -- NOTIFY takes a database-wide lock at commit, which ends group commit. The notifier holds this lock
        -- exclusively only while it sleeps: whoever gets it shared knows that the notifier is awake and will look
        -- again before it sleeps, after this transaction has ended.
        IF NOT pg_try_advisory_xact_lock_shared(hashtextextended('menu_extraction_notifier_sleeps', 0)) THEN
            PERFORM pg_notify('menu_extraction_jobs_wake_up', '');
        END IF;
    ELSE
        PERFORM pg_notify('menu_extraction_jobs', json_build_object(
            'id', NEW.id,
            'status', NEW.status,
            'user_id', NEW.user_id,
            'confidence', NEW.confidence,
            'seq', NEW.event_seq,
            'attempt', NEW.attempt)::text);
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION notify_menu_extraction_jobs() FROM PUBLIC;
