CREATE OR REPLACE TRIGGER menu_extraction_jobs_guard
    BEFORE INSERT OR UPDATE ON menu_extraction_jobs
    FOR EACH ROW EXECUTE FUNCTION guard_menu_extraction_jobs();

CREATE OR REPLACE TRIGGER menu_extraction_jobs_notify_insert
    AFTER INSERT ON menu_extraction_jobs
    FOR EACH ROW EXECUTE FUNCTION notify_menu_extraction_jobs();

CREATE OR REPLACE TRIGGER menu_extraction_jobs_notify_update
    AFTER UPDATE ON menu_extraction_jobs
    FOR EACH ROW WHEN (OLD.event_seq IS DISTINCT FROM NEW.event_seq)
    EXECUTE FUNCTION notify_menu_extraction_jobs();
