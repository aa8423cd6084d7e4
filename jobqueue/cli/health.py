"""``jobqueue health``."""

from __future__ import annotations

import click

from jobqueue.cli.exit_codes import EXIT_CODES, FAILED
from jobqueue.cli.job_command import JobCommand, Seconds
from jobqueue.cli.output import print_fields, print_json, print_table
from jobqueue.health import MAX_QUEUE_SECONDS, QueueState
from jobqueue.health_check import HealthReport, check_health
from jobqueue.json_shapes import HealthDetails
from jobqueue.resources import open_database
from jobqueue.settings import load_settings


@click.command(cls=JobCommand)
@click.option(
    "--max-wait",
    default=MAX_QUEUE_SECONDS,
    show_default=True,
    type=Seconds(),
    help="Seconds a job may wait for a worker.",
)
@click.option("--worker", metavar="NAME", help="Ask after this worker alone, for the health check of its container.")
@click.pass_context
def health(ctx: click.Context, max_wait: float, worker: str | None, as_json: bool) -> None:
    """Say whether jobs are being done, and if not, why; exit code 1 if anything is wrong."""
    settings = load_settings()
    database, engine = open_database(None, settings)
    try:
        report = check_health(database, settings, max_wait, worker)
    finally:
        if engine is not None:
            engine.dispose()
    if as_json:
        print_json(HealthDetails.model_validate(report))
    else:
        _print(report)
    if not report.ready:
        ctx.exit(EXIT_CODES["QUEUE_UNAVAILABLE"])
    if not report.healthy:
        ctx.exit(FAILED)


def _print(report: HealthReport) -> None:
    for problem in report.problems:
        click.echo(f"{problem.code}: {problem.message}")
    if report.healthy:
        click.echo("All is well.")
    if report.state is not None:
        print_fields(_figures(report.state))
        if report.state.workers:
            rows = [
                (one.holds, one.seen_ago, one.received_ago, one.consuming, one.stopping, one.name)
                for one in report.state.workers
            ]
            print_table(["Jobs in hand", "Seen, s ago", "Last message, s ago", "Consuming", "Stopping", "Worker"], rows)


def _figures(state: QueueState) -> dict[str, object]:
    return {
        "Due jobs": state.due,
        "Oldest due, s": state.oldest_due,
        "In hand": state.processing,
        "Oldest change not announced, s": state.oldest_unrelayed,
        "Leading notifier": state.leader,
        "Sweeper ran, s ago": state.swept_ago,
    }
