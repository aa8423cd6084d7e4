-- How well each prompt version does. A view and not counters, because feedback comes days after the extraction.
-- Figures of the token usage are read only where they are numbers: applications write it too, in any shape.
CREATE OR REPLACE VIEW menu_extraction_quality WITH (security_invoker = true) AS
    SELECT
        jobs.prompt_version,
        jobs.schema_version,
        count(*) AS extractions,
        count(*) FILTER (WHERE jobs.status = 'completed') AS completed,
        count(*) FILTER (WHERE jobs.status = 'failed') AS failed,
        avg(jobs.confidence::float8) FILTER (WHERE jobs.status = 'completed') AS mean_confidence,
        avg(jobs.processing_time::float8) FILTER (WHERE jobs.status = 'completed') AS mean_processing_time,
        sum(usage.input_tokens) AS input_tokens,
        sum(usage.output_tokens) AS output_tokens,
        sum(usage.estimated_cost) AS estimated_cost,
        count(*) FILTER (WHERE feedback.given) AS jobs_with_feedback,
        count(*) FILTER (WHERE jobs.status = 'completed' AND feedback.corrected) AS jobs_corrected,
        count(*) FILTER (WHERE jobs.status = 'completed' AND feedback.corrected)::float8
            / nullif(count(*) FILTER (WHERE jobs.status = 'completed'), 0) AS correction_rate
    FROM menu_extraction_jobs AS jobs
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN jsonb_typeof(jobs.token_usage -> 'inputTokens') = 'number'
                THEN (jobs.token_usage ->> 'inputTokens')::float8 END AS input_tokens,
            CASE WHEN jsonb_typeof(jobs.token_usage -> 'outputTokens') = 'number'
                THEN (jobs.token_usage ->> 'outputTokens')::float8 END AS output_tokens,
            CASE WHEN jsonb_typeof(jobs.token_usage -> 'estimatedCost') = 'number'
                THEN (jobs.token_usage ->> 'estimatedCost')::float8 END AS estimated_cost
    ) AS usage
    LEFT JOIN (
        SELECT job_id, true AS given, bool_or(correction_made) AS corrected FROM extraction_feedback GROUP BY job_id
    ) AS feedback ON feedback.job_id = jobs.id
    WHERE jobs.status IN ('completed', 'failed') AND jobs.error_code IS DISTINCT FROM 'CANCELLED'
    GROUP BY jobs.prompt_version, jobs.schema_version;
