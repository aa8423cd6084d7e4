"""The routes, thin over ``JobQueueManager``."""

# Annotations are evaluated here, because FastAPI reads those that name the router's own dependency.

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr
from pydantic.alias_generators import to_camel

from jobqueue.api.json_body import described_body, read_json_body
from jobqueue.api.picture_slots import PictureSlots
from jobqueue.api.route import JobQueueRoute
from jobqueue.arguments import MAX_PAGE, MAX_PROMPT_VERSION_CHARACTERS, MAX_URL_CHARACTERS
from jobqueue.errors import JobNotFoundError
from jobqueue.json_shapes import (
    ErrorAnswer,
    JobAnswer,
    JobDetails,
    JobsAnswer,
    JobState,
    QuotaAnswer,
    RateLimitErrorAnswer,
    StatusAnswer,
    SubmitAnswer,
    job_answer,
    quota_answer,
)
from jobqueue.manager import JobQueueManager
from jobqueue.states import JobStatus

_MEANINGS = {
    401: "No token, or one that is not accepted",
    403: "The monthly quota is used up",
    404: "There is no such job, or it belongs to somebody else",
    409: "The job's status does not allow it",
    413: "The body is too large",
    422: "Wrong input",
    429: "Too many uploads within 60 minutes",
    503: "The queue cannot be reached, or too many pictures are being fetched",
}


class SubmitRequest(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    image_url: StrictStr = Field(max_length=MAX_URL_CHARACTERS)
    schema_version: StrictStr = Field("stage1")
    prompt_version: StrictStr = Field("v1.0", max_length=MAX_PROMPT_VERSION_CHARACTERS)
    force: StrictBool = False


def create_router(manager: JobQueueManager, *, current_user: Callable[..., Any]) -> APIRouter:
    """The routes under ``/api/extraction``, for ``include_router`` of any FastAPI application.

    ``current_user`` is a FastAPI dependency of the application that returns the signed-in user's id (a ``UUID`` or its
    text) and raises ``HTTPException`` for nobody. Every other error is answered by the routes themselves.
    """
    router = APIRouter(prefix="/api/extraction", tags=["extraction"], route_class=JobQueueRoute)
    slots = PictureSlots()
    User = Annotated[UUID | str, Depends(current_user)]  # noqa: N806 - a type

    @router.post(
        "/submit", responses=_errors(401, 403, 413, 422, 429, 503), openapi_extra=described_body(SubmitRequest)
    )
    async def submit(request: Request, user: User) -> SubmitAnswer:
        """Queue the extraction of the menu at an address, or learn the job that already does it."""
        wanted = await read_json_body(request, SubmitRequest)
        submitted = await slots.run(
            lambda: manager.submit_job(
                user,
                wanted.image_url,
                schema_version=wanted.schema_version,
                prompt_version=wanted.prompt_version,
                force=wanted.force,
            )
        )
        return SubmitAnswer(job_id=submitted.job.id, cached=submitted.cached)

    @router.get("/status/{jobId}", responses=_errors(401, 404, 422, 503))
    def status(jobId: UUID, user: User) -> StatusAnswer:  # noqa: N803 - the name in the documented path
        """The job's state, and its result once it is completed."""
        job = manager.get_job_status(jobId, user)
        if job is None:
            raise JobNotFoundError("There is no such job.")
        return StatusAnswer(job=JobState.model_validate(job))

    @router.post("/retry/{jobId}", responses=_errors(401, 404, 409, 422, 429, 503))
    def retry(jobId: UUID, user: User) -> JobAnswer:  # noqa: N803
        """Make a new job from a failed one; the answer is the new one."""
        return job_answer(manager.retry_job(jobId, user))

    @router.post("/cancel/{jobId}", responses=_errors(401, 404, 409, 422, 503))
    def cancel(jobId: UUID, user: User) -> JobAnswer:  # noqa: N803
        """Cancel a job: a queued one at once, a running one within seconds."""
        return job_answer(manager.cancel_job(jobId, user))

    @router.get("/jobs", responses=_errors(401, 422, 503))
    def jobs(
        user: User,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
        status: JobStatus | None = None,
        before: UUID | None = None,
    ) -> JobsAnswer:
        """The user's jobs, newest first; ``before`` is the last job of the page before."""
        found = manager.list_user_jobs(user, limit, status, before)
        return JobsAnswer(jobs=[JobDetails.model_validate(job) for job in found])

    @router.get("/quota", responses=_errors(401, 503))
    def quota(user: User) -> QuotaAnswer:
        """What is left of the month's quota and of the hour's uploads."""
        return quota_answer(manager.check_quota(user), manager.check_rate_limit(user))

    return router


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {
            "model": RateLimitErrorAnswer if status == 429 else ErrorAnswer,
            "description": _MEANINGS[status],
        }
        for status in statuses
    }
