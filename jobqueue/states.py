"""The states of a job and the moves between them."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """``queued`` also while a job waits for its next attempt; ``completed`` and ``failed`` are final."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def is_finished(self) -> bool:
        return self in FINISHED

    @property
    def is_active(self) -> bool:
        return not self.is_finished


FINISHED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED})
ACTIVE = frozenset({JobStatus.QUEUED, JobStatus.PROCESSING})
