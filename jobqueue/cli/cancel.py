"""``jobqueue cancel``."""

from __future__ import annotations

import click

from jobqueue.cli.job_command import JobCommand, open_manager, user_option
from jobqueue.cli.output import print_json
from jobqueue.json_shapes import job_answer


@click.command(cls=JobCommand)
@click.argument("job_id")
@user_option()
def cancel(job_id: str, user: str, as_json: bool) -> None:
    """Cancel a job: a queued one at once, a running one as soon as its worker notices."""
    with open_manager() as manager:
        job = manager.cancel_job(job_id, user)
    if as_json:
        print_json(job_answer(job))
    else:
        click.echo("Cancelled." if job.is_finished else "The worker was told; it stops within seconds.")
