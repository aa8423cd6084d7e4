-- While rows of the old table are being taken over (event_seq 0: nothing was told of the row yet), the first update
-- of such a row is its first event, and a correction may change a status that is final otherwise. Apart from that:
--
-- Keeps a job's life honest whoever writes to the table: a finished job stays finished, every status change gets the
-- next number of its job (taken under the row's lock, so without a hole and in commit order), times are filled in.
CREATE OR REPLACE FUNCTION guard_menu_extraction_jobs() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.event_seq := 1;
    ELSIF NEW.status IS DISTINCT FROM OLD.status THEN
        IF OLD.status IN ('completed', 'failed') AND OLD.event_seq > 0 THEN
            RAISE EXCEPTION 'job % is already %', OLD.id, OLD.status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'menu_extraction_jobs_finished_is_final';
        END IF;
        NEW.event_seq := OLD.event_seq + 1;
    ELSIF OLD.event_seq = 0 AND NEW.status IN ('queued', 'processing') THEN
        NEW.event_seq := 1;
    ELSE
        NEW.event_seq := OLD.event_seq;
    END IF;

    IF NEW.status IN ('completed', 'failed') THEN
        NEW.completed_at := COALESCE(NEW.completed_at, clock_timestamp());
        NEW.lease_expires_at := NULL;
    END IF;
    RETURN NEW;
END
$$;
