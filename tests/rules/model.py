"""The rules of submitting, retrying, cancelling and ending, once more in plain Python: what the tests compare with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

HOUR = timedelta(hours=1)
QUOTA = {"free": 5, "premium": 50, "enterprise": -1}
HOURLY = {"free": 10, "premium": 20, "enterprise": 50}
Key = tuple[str, str]


@dataclass(frozen=True)
class Job:
    """``reusable`` is set for a completed job whose result is of the present format."""

    id: UUID
    user: UUID
    key: Key
    created_at: datetime
    retry_of: UUID | None = None
    retry_count: int = 0
    status: str = "queued"
    attempt: int = 0
    error_code: str | None = None
    cancel_requested: bool = False
    reusable: bool = False
    history: tuple[tuple[str, int], ...] = (("queued", 0),)

    @property
    def active(self) -> bool:
        return self.status in ("queued", "processing")

    def moved(self, status: str, **changes: object) -> Job:
        attempt = self.attempt + (status == "processing")
        changed = replace(self, status=status, attempt=attempt, **changes)  # type: ignore[arg-type]
        return replace(changed, history=(*self.history, (status, attempt)))


@dataclass(frozen=True)
class Refused:
    code: str
    details: dict[str, object] = field(default_factory=dict)


@dataclass
class Transaction:
    """What one open transaction changed, and which users' submissions it holds up."""

    jobs: dict[UUID, Job] = field(default_factory=dict)
    users: set[UUID] = field(default_factory=set)


@dataclass
class View:
    """What one caller sees at one moment: everything committed, and its own transaction's changes."""

    jobs: dict[UUID, Job]
    now: datetime

    def of_user(self, job_id: UUID, user: UUID) -> Job | None:
        job = self.jobs.get(job_id)
        return job if job is not None and job.user == user else None

    def answer(self, user: UUID, key: Key) -> Job | None:
        fitting = [
            job for job in self.jobs.values() if (job.user, job.key) == (user, key) and (job.active or job.reusable)
        ]
        return max(fitting, key=lambda job: (job.created_at, job.id), default=None)

    def successor(self, job_id: UUID) -> Job | None:
        return next((job for job in self.jobs.values() if job.retry_of == job_id), None)

    def in_month(self, user: UUID) -> int:
        return sum(job.retry_of is None for job in self._of_this_month(user))

    def retries_in_month(self, user: UUID) -> int:
        return sum(job.retry_of is not None for job in self._of_this_month(user))

    def _of_this_month(self, user: UUID) -> list[Job]:
        month = (self.now.year, self.now.month)
        return [
            job
            for job in self.jobs.values()
            if job.user == user and (job.created_at.year, job.created_at.month) == month
        ]

    def in_hour(self, user: UUID) -> list[datetime]:
        """Newest first."""
        times = [job.created_at for job in self.jobs.values() if job.user == user]
        return sorted((at for at in times if self.now - at < HOUR), reverse=True)

    def over_quota(self, user: UUID, limit: int) -> Refused | None:
        current = self.in_month(user)
        if limit == -1 or current < limit:
            return None
        return Refused("QUOTA_EXCEEDED", {"current": current, "limit": limit, "resets_at": self.next_month()})

    def over_hour(self, user: UUID, limit: int) -> Refused | None:
        recent = self.in_hour(user)
        if limit == -1 or len(recent) < limit:
            return None
        reset_at = recent[limit - 1] + HOUR if limit else None
        return Refused("RATE_LIMIT_EXCEEDED", {"current": len(recent), "limit": limit, "reset_at": reset_at})

    def month_start(self) -> datetime:
        return datetime(self.now.year, self.now.month, 1, tzinfo=self.now.tzinfo)

    def next_month(self) -> datetime:
        year, month = self.now.year + self.now.month // 12, self.now.month % 12 + 1
        return datetime(year, month, 1, tzinfo=self.now.tzinfo)

    def may_be_retried(self, job: Job) -> bool:
        return job.status == "failed" and self.successor(job.id) is None

    def retry(self, job_id: UUID, user: UUID, hourly: int) -> Job | Refused | None:
        """The job that answers, the refusal, or ``None`` when a new job is to be made."""
        job = self.jobs[job_id]
        successor = self.successor(job_id)
        if successor is not None and successor.status != "failed":
            return successor
        if job.status != "failed" or successor is not None:
            return Refused("INVALID_STATUS")
        if job.retry_count >= 3:
            return Refused("MAX_RETRIES_EXCEEDED")
        other = self.answer(user, job.key)
        if other is not None and (other.active or other.created_at > job.created_at):
            return Refused("INVALID_STATUS")
        return self.over_hour(user, hourly)


def limits(plan: str | None, plan_limits: object) -> tuple[int, int]:
    """The quota of the month and the limit of the hour."""
    known = plan if plan in QUOTA else "free"
    given = plan_limits if isinstance(plan_limits, dict) else {}
    quota, hourly = given.get("ocr_jobs"), given.get("hourly_uploads")
    return (
        quota if type(quota) is int and quota >= -1 else QUOTA[str(known)],
        hourly if type(hourly) is int and hourly >= -1 else HOURLY[str(known)],
    )
