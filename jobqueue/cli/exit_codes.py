"""What the commands that act on jobs end with, for scripts."""

from __future__ import annotations

from jobqueue.errors import JobQueueError

FAILED = 1
INTERRUPTED = 130
NOBODY_READS = 141
EXIT_CODES = {
    "INVALID_INPUT": 2,
    "QUOTA_EXCEEDED": 3,
    "RATE_LIMIT_EXCEEDED": 3,
    "JOB_NOT_FOUND": 4,
    "USER_NOT_FOUND": 4,
    "QUEUE_UNAVAILABLE": 5,
    "POLLING_TIMEOUT": 6,
}
MEANINGS = (
    "Exit codes: 0 done, 1 refused, or the job failed, 2 wrong input or setting, 3 quota or hourly limit used up, "
    "4 no such job or user, 5 queue unavailable, 6 not finished in time, 130 interrupted, 141 nobody reads the output."
)


def exit_code(error: JobQueueError) -> int:
    return EXIT_CODES.get(error.code, FAILED)
