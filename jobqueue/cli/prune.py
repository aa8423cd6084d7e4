"""``jobqueue prune``."""

from __future__ import annotations

import click

from jobqueue.cli.job_command import JobCommand
from jobqueue.cli.output import print_json
from jobqueue.errors import InvalidInputError
from jobqueue.json_shapes import PruneAnswer
from jobqueue.resources import open_database
from jobqueue.retention import prune as prune_batches
from jobqueue.settings import MAX_RETENTION_DAYS, load_settings


@click.command(cls=JobCommand)
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(1, MAX_RETENTION_DAYS),
    metavar="DAYS",
    help="Jobs that finished more than so many days ago; JOBQUEUE_RETENTION_DAYS by default.",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
def prune(days: int | None, dry_run: bool, as_json: bool) -> None:
    """Delete old finished jobs of all users, with their events and feedback.

    Kept however old: jobs that are not finished, those that count towards this month's quotas, and those whose events
    were not published yet. It may be interrupted and may run beside everything else.
    """
    settings = load_settings()
    days = settings.retention_days if days is None else days
    if days is None:
        raise InvalidInputError("Say what is old: give --older-than DAYS, or set JOBQUEUE_RETENTION_DAYS.")
    database, engine = open_database(None, settings)
    jobs = events = 0
    try:
        for batch in prune_batches(database, days, dry_run=dry_run):
            jobs += batch.jobs
            events += batch.events
    finally:
        if engine is not None:
            engine.dispose()
    if as_json:
        print_json(PruneAnswer(jobs=jobs, events=events, older_than_days=days, dry_run=dry_run))
    else:
        click.echo(f"{'Would delete' if dry_run else 'Deleted'} {jobs} jobs and {events} events.")
