"""The table ``ocr_jobs`` as the system before this one made it, for tests and for the measurement of the upgrade."""

from __future__ import annotations

USERS = """
    CREATE SCHEMA auth;
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
"""

TABLE = """
    CREATE TABLE public.ocr_jobs (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
        image_url varchar(500) NOT NULL,
        image_hash varchar(64) NOT NULL,
        status varchar(20) DEFAULT 'queued' CHECK (status IN ('queued', 'processing', 'completed', 'failed')),
        result jsonb,
        error_message text,
        processing_time integer,
        retry_count integer DEFAULT 0,
        created_at timestamptz DEFAULT now(),
        completed_at timestamptz
    );
"""

INDEXES = """
    CREATE INDEX idx_ocr_jobs_status ON public.ocr_jobs (status);
    CREATE INDEX idx_ocr_jobs_user_id ON public.ocr_jobs (user_id);
    CREATE INDEX idx_ocr_jobs_image_hash ON public.ocr_jobs (image_hash);
"""

NOTIFICATION = """
    CREATE FUNCTION public.notify_ocr_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('ocr_jobs',
            json_build_object('id', NEW.id, 'status', NEW.status, 'user_id', NEW.user_id)::text);
        RETURN NEW;
    END
    $$;
    CREATE TRIGGER ocr_jobs_notify_insert AFTER INSERT ON public.ocr_jobs
        FOR EACH ROW EXECUTE FUNCTION public.notify_ocr_jobs();
    CREATE TRIGGER ocr_jobs_notify_update AFTER UPDATE ON public.ocr_jobs
        FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION public.notify_ocr_jobs();
"""

# What Supabase has: who asks comes with the request, and the roles of its API may do what the policies let them.
ASKING_USER = """
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
        SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid
    $$;
"""

POLICY = """
    ALTER TABLE public.ocr_jobs ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "Users can view own OCR jobs" ON public.ocr_jobs FOR SELECT USING (auth.uid() = user_id);
"""

OLD_DATABASE = USERS + ASKING_USER + TABLE + INDEXES + NOTIFICATION + POLICY
