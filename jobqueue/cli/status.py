"""``jobqueue status``."""

from __future__ import annotations

import click

from jobqueue.cli.job_command import JobCommand, open_manager, user_option
from jobqueue.cli.output import print_fields, print_json, print_menu
from jobqueue.errors import JobNotFoundError
from jobqueue.json_shapes import job_answer


@click.command(cls=JobCommand)
@click.argument("job_id")
@user_option(required=False)
def status(job_id: str, user: str | None, as_json: bool) -> None:
    """Show a job, and its menu once it is completed."""
    with open_manager() as manager:
        job = manager.get_job_status(job_id, user)
    if job is None:
        raise JobNotFoundError("There is no such job.")
    if as_json:
        print_json(job_answer(job))
        return
    print_fields(
        {
            "Job": job.id,
            "User": job.user_id,
            "Status": job.status.value,
            "Error": job.error,
            "Error code": job.error_code,
            "Picture": job.image_url,
            "Attempt": job.attempt,
            "Retry": job.retry_count or None,
            "Retry of": job.retry_of,
            "Confidence": job.confidence,
            "Took": None if job.processing_time is None else f"{job.processing_time} ms",
            "Created": job.created_at,
            "Completed": job.completed_at,
        }
    )
    print_menu(job)
