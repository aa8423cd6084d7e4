"""``jobqueue retry``."""

from __future__ import annotations

import click

from jobqueue.cli.job_command import JobCommand, open_manager, user_option
from jobqueue.cli.output import print_json
from jobqueue.json_shapes import job_answer


@click.command(cls=JobCommand)
@click.argument("job_id")
@user_option()
def retry(job_id: str, user: str, as_json: bool) -> None:
    """Make a new job from a failed one, at most three times in a line; print the new one's id."""
    with open_manager() as manager:
        job = manager.retry_job(job_id, user)
    if as_json:
        print_json(job_answer(job))
    else:
        click.echo(str(job.id))
