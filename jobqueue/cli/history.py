"""``jobqueue history``."""

from __future__ import annotations

import click

from jobqueue.cli.job_command import JobCommand, open_manager, user_option
from jobqueue.cli.output import print_json, print_table
from jobqueue.errors import JobNotFoundError
from jobqueue.json_shapes import HistoryAnswer, HistoryEntry


@click.command(cls=JobCommand)
@click.argument("job_id")
@user_option(required=False)
def history(job_id: str, user: str | None, as_json: bool) -> None:
    """Show every status change of a job, in order."""
    with open_manager() as manager:
        entries = manager.job_history(job_id, user)
        if not entries and manager.get_job_status(job_id, user) is None:
            raise JobNotFoundError("There is no such job.")
    if as_json:
        print_json(HistoryAnswer(history=[HistoryEntry.model_validate(entry) for entry in entries]))
    else:
        rows = [(one.seq, one.at, one.status.value, one.attempt, one.worker, one.error) for one in entries]
        print_table(["#", "At", "Status", "Attempt", "Worker", "Error"], rows)
