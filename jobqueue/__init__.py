"""menu-jobqueue: a durable job queue for menu extractions."""

from jobqueue.async_listener import AsyncJobNotificationListener
from jobqueue.errors import (
    CursorExpiredError,
    ImageRejectedError,
    InvalidInputError,
    InvalidResultError,
    InvalidStatusError,
    JobNotFoundError,
    JobQueueError,
    MaxRetriesExceededError,
    PollingTimeoutError,
    QueueUnavailableError,
    QuotaExceededError,
    RateLimitExceededError,
    UserNotFoundError,
)
from jobqueue.events import JobEvent
from jobqueue.feedback import ExtractionFeedback
from jobqueue.fetch import compute_sha256_from_url
from jobqueue.job import ExtractionJob, JobHistoryEntry, SubmissionResult
from jobqueue.limits import QuotaCheckResult, RateLimitCheckResult
from jobqueue.listener import JobNotificationListener
from jobqueue.manager import JobQueueManager
from jobqueue.polling import poll_job_status
from jobqueue.quality import ExtractionFigures, Feedback, FeedbackType
from jobqueue.settings import Settings
from jobqueue.states import JobStatus

__all__ = [
    "AsyncJobNotificationListener",
    "CursorExpiredError",
    "ExtractionFeedback",
    "ExtractionFigures",
    "ExtractionJob",
    "Feedback",
    "FeedbackType",
    "ImageRejectedError",
    "InvalidInputError",
    "InvalidResultError",
    "InvalidStatusError",
    "JobEvent",
    "JobHistoryEntry",
    "JobNotFoundError",
    "JobNotificationListener",
    "JobQueueError",
    "JobQueueManager",
    "JobStatus",
    "MaxRetriesExceededError",
    "PollingTimeoutError",
    "QueueUnavailableError",
    "QuotaCheckResult",
    "QuotaExceededError",
    "RateLimitCheckResult",
    "RateLimitExceededError",
    "Settings",
    "SubmissionResult",
    "UserNotFoundError",
    "compute_sha256_from_url",
    "poll_job_status",
]
