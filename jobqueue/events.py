"""A status change on its way to subscribers: the event, its wire format and its channels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from jobqueue.job import ExtractionJob
from jobqueue.states import JobStatus

ALL_JOBS_CHANNEL = "menu_extraction_jobs"
PROGRESS_CHANNEL = "menu_extraction_progress"

JobLoader = Callable[[UUID], ExtractionJob | None]


def user_channel(user_id: UUID) -> str:
    return f"{ALL_JOBS_CHANNEL}:{user_id}"


def progress_channel(user_id: UUID) -> str:
    return f"{PROGRESS_CHANNEL}:{user_id}"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One status change. ``seq`` counts 1, 2, 3, ... within the job; ``cursor`` grows over all events of all jobs.

    Keep the ``cursor`` of the last event you handled and pass it as ``after`` to miss nothing later. ``replayed`` is
    set on what a listener read from the event log because it was not there live: it resumed behind a cursor, or it had
    lost its connection, which Redis also closes when a subscriber falls too far behind.
    """

    job_id: UUID
    user_id: UUID
    status: JobStatus
    confidence: float | None
    attempt: int
    seq: int
    cursor: int
    at: datetime
    replayed: bool = field(default=False, compare=False)
    _load: JobLoader | None = field(default=None, repr=False, compare=False)

    def job(self) -> ExtractionJob | None:
        """Load the job as it is now, which may be further on than this event; ``None`` if it was deleted."""
        if self._load is None:
            raise RuntimeError("This event did not come from a listener, so it cannot load its job.")
        return self._load(self.job_id)

    def with_loader(self, load: JobLoader) -> JobEvent:
        return replace(self, _load=load)

    def to_json(self) -> str:
        return json.dumps(
            {
                "id": str(self.job_id),
                "status": self.status.value,
                "user_id": str(self.user_id),
                "confidence": self.confidence,
                "seq": self.seq,
                "attempt": self.attempt,
                "cursor": self.cursor,
                "at": self.at.isoformat(),
            }
        )

    @classmethod
    def from_json(cls, payload: str | bytes) -> JobEvent:
        """Read what ``to_json`` wrote; raises ``ValueError`` for anything else."""
        try:
            data = json.loads(payload)
            confidence = data["confidence"]
            return cls(
                job_id=UUID(data["id"]),
                user_id=UUID(data["user_id"]),
                status=JobStatus(data["status"]),
                confidence=None if confidence is None else float(confidence),
                attempt=int(data["attempt"]),
                seq=int(data["seq"]),
                cursor=int(data["cursor"]),
                at=datetime.fromisoformat(data["at"]),
            )
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a job event: {error!r}") from None
