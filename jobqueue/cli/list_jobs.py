"""``jobqueue list``."""

from __future__ import annotations

import click

from jobqueue.arguments import MAX_PAGE
from jobqueue.cli.job_command import JobCommand, open_manager, user_option
from jobqueue.cli.output import print_json, print_table
from jobqueue.json_shapes import JobDetails, JobsAnswer
from jobqueue.states import JobStatus


@click.command("list", cls=JobCommand)
@user_option()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, MAX_PAGE))
@click.option("--status", type=click.Choice([status.value for status in JobStatus]), help="Only jobs in this state.")
@click.option("--before", metavar="JOB_ID", help="Older jobs than this one: the last of the page before.")
def list_jobs(user: str, limit: int, status: str | None, before: str | None, as_json: bool) -> None:
    """List a user's jobs, newest first."""
    with open_manager() as manager:
        jobs = manager.list_user_jobs(user, limit, status, before)
    if as_json:
        print_json(JobsAnswer(jobs=[JobDetails.model_validate(job) for job in jobs]))
    else:
        rows = [(job.id, job.status.value, job.attempt, job.created_at, job.error or job.image_url) for job in jobs]
        print_table(["Job", "Status", "Attempt", "Created", "Picture or error"], rows)
