"""``jobqueue watch``."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, suppress

import click

from jobqueue.cli.exit_codes import FAILED
from jobqueue.cli.job_command import JobCommand, Seconds, open_manager, user_option
from jobqueue.cli.output import print_json, printable
from jobqueue.errors import CursorExpiredError, JobNotFoundError, PollingTimeoutError
from jobqueue.event_stream import EventStream
from jobqueue.job import JobHistoryEntry
from jobqueue.json_shapes import Event, HistoryEntry
from jobqueue.listener import JobNotificationListener
from jobqueue.manager import JobQueueManager
from jobqueue.states import JobStatus

# Should no event arrive although the job moved on (no notifier runs), its history tells.
LOOK_EVERY_SECONDS = 5.0


@click.command(cls=JobCommand)
@click.argument("job_id", required=False)
@user_option()
@click.option("--after", type=click.IntRange(0), metavar="CURSOR", help="Resume behind this cursor; not with JOB_ID.")
@click.option("--timeout", type=Seconds(), help="Seconds to wait for JOB_ID at most; for ever by default.")
def watch(job_id: str | None, user: str, after: int | None, timeout: float | None, as_json: bool) -> None:
    """Print each status change: of JOB_ID from its first until it has finished, or of all the user's jobs from now on.

    A job that fails ends this with exit code 1. With --json each line is an object: for JOB_ID an entry of its history,
    otherwise an event with its cursor.
    """
    if job_id is None and timeout is not None:
        raise click.UsageError("--timeout goes with JOB_ID.")
    if job_id is not None and after is not None:
        raise click.UsageError("--after does not go with JOB_ID, whose history is shown from the start.")
    with ExitStack() as open_things:
        listener = open_things.enter_context(closing(JobNotificationListener()))
        stream = open_things.enter_context(listener.events(user, after))
        if job_id is None:
            _all_jobs(stream, as_json)
        manager = open_things.enter_context(open_manager())
        if _one_job(manager, stream, str(job_id), user, timeout, as_json) is JobStatus.FAILED:
            click.get_current_context().exit(FAILED)


def _all_jobs(stream: EventStream, as_json: bool) -> None:
    for event in stream:
        if as_json:
            print_json(Event.model_validate(event))
        else:
            _print_line(f"{event.at:%H:%M:%S}  {event.job_id}  {event.status.value:<10}  cursor {event.cursor}")


def _one_job(
    manager: JobQueueManager, stream: EventStream, job_id: str, user: str, timeout: float | None, as_json: bool
) -> JobStatus:
    """The status that the job finished with."""
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    seen = 0
    while True:
        job = manager.get_job_status(job_id, user)
        if job is None:
            raise JobNotFoundError("There is no such job.")
        for entry in manager.job_history(job_id, user):
            if entry.seq > seen:
                seen = entry.seq
                _print_entry(entry, as_json)
                if entry.status.is_finished:
                    return entry.status
        if job.is_finished:
            return job.status
        left = deadline - time.monotonic()
        if left <= 0:
            raise PollingTimeoutError(f"The job is still {job.status.value}; it goes on, ask again later.")
        with suppress(CursorExpiredError):  # the job itself is looked at again in any case
            stream.poll(min(left, LOOK_EVERY_SECONDS))


def _print_entry(entry: JobHistoryEntry, as_json: bool) -> None:
    if as_json:
        print_json(HistoryEntry.model_validate(entry))
    else:
        _print_line(f"{entry.at:%H:%M:%S}  {entry.status.value:<10}  attempt {entry.attempt}  {entry.error or ''}")


def _print_line(line: str) -> None:
    click.echo(printable(line).rstrip())
