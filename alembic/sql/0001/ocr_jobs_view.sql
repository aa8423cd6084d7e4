-- The name and the columns that old programs know. A simple view, so Postgres passes reads and writes on to the table:
-- its defaults, triggers and policies apply. security_invoker: with the rights of whoever asks, not of the view's owner.
CREATE OR REPLACE VIEW ocr_jobs WITH (security_invoker = true) AS
    SELECT id, user_id, image_url, image_hash, status, result, error_message, processing_time, retry_count, created_at,
           completed_at
    FROM menu_extraction_jobs;
