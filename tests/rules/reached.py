"""What a run over random interleavings has to have come to before it counts as a test of the rules."""

from __future__ import annotations

from enum import StrEnum


class Reached(StrEnum):
    """One kind of moment each; a run counts how often it met every one of them."""

    ACCEPTED = "a submission accepted"
    SAME_JOB = "a submission answered with the job under way"
    CACHED = "a submission answered with a result"
    OVER_QUOTA = "a submission refused by the month"
    OVER_QUOTA_WITH_RETRIES = "a submission refused by the month, in which the user has retries too"
    ACCEPTED_BESIDE_RETRIES = "a submission accepted only because the month does not count the retries"
    OVER_HOUR = "a submission refused by the hour"
    RETRIED = "a retry accepted"
    SAME_RETRY = "a retry answered with the retry made before"
    NOT_RETRIED = "a retry refused because the job has not failed, or another took its place"
    RETRIES_USED_UP = "a retry refused after three"
    RETRY_OVER_HOUR = "a retry refused by the hour"
    RETRY_OVER_QUOTA = "a retry accepted with the month used up"
    CANCELLED_AT_ONCE = "a cancellation of a queued job"
    CANCELLATION_NOTED = "a cancellation of a running job"
    CANCELLED_BY_WORKER = "a running job ended as cancelled by its worker"
    MARKED_COMPLETED = "a job marked completed"
    MARKED_FAILED = "a job marked failed"
    MALFORMED_RESULT = "a malformed result refused"
    FINISHED_JOB_KEPT = "a mark or cancellation of a finished job refused"
    LATE_ATTEMPT = "an attempt that no longer held its job and wrote nothing"
    LOST_WORKER = "a job queued again after its worker was lost"
    LOST_FINALLY = "a job failed after its worker was lost"
    COMMITTED = "a session's changes committed"
    ROLLED_BACK = "a session's changes rolled back"
    RETRY_ROLLED_BACK = "a session's retry rolled back"
    WAITED = "a call that had to wait for another transaction"
    HOUR_OVER = "a submission or retry exactly 60 minutes after an earlier one"
    HOUR_NOT_OVER = "a submission or retry a microsecond before that"
    MONTH_BEGINS = "a submission or retry at the first moment of a month"
    MONTH_ENDS = "a submission or retry at the last microsecond of a month"
    SOMEBODY_ELSES = "a call with the id of somebody else's job"
