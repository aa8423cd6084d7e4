"""``jobqueue submit``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import click

from jobqueue.cli.exit_codes import FAILED, exit_code
from jobqueue.cli.job_command import JobCommand, open_manager, timeout_option, user_option
from jobqueue.cli.output import print_error, print_json, print_table
from jobqueue.errors import JobQueueError
from jobqueue.job import ExtractionJob, SubmissionResult
from jobqueue.json_shapes import JobDetails, error_answer
from jobqueue.manager import JobQueueManager
from jobqueue.settings import load_settings
from jobqueue.states import JobStatus


@dataclass(slots=True)
class Submitted:
    """What became of one address; ``job`` is as it was seen last."""

    image_url: str
    job: ExtractionJob | None = None
    cached: bool = False
    error: JobQueueError | None = None

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return exit_code(self.error)
        return FAILED if self.job is not None and self.job.status is JobStatus.FAILED else 0


@click.command(cls=JobCommand)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@user_option()
@click.option("--hash", "image_hash", metavar="SHA256", help="The picture's SHA-256: one URL, not fetched here.")
@click.option("--schema-version", default="stage1", show_default=True)
@click.option("--prompt-version", default="v1.0", show_default=True)
@click.option("--force", is_flag=True, help="Make a new job even if this picture has one.")
@click.option("--wait", is_flag=True, help="Wait until the jobs have finished, and show them.")
@timeout_option
def submit(
    urls: tuple[str, ...],
    user: str,
    image_hash: str | None,
    schema_version: str,
    prompt_version: str,
    force: bool,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Queue the extraction of the menus at URL..., and print the id of each job on a line.

    Each URL succeeds or fails on its own; the exit code is that of the first failure.
    """
    if image_hash is not None and len(urls) > 1:
        raise click.UsageError("--hash goes with a single URL.")
    if wait:
        # Known before anything is queued.
        _ = load_settings().required_redis_url
    entries = [{"image_url": url, "image_hash": image_hash} for url in urls]
    with open_manager() as manager:
        outcomes = manager.submit_jobs(
            user, entries, schema_version=schema_version, prompt_version=prompt_version, force=force
        )
        submitted = [_submitted(url, outcome) for url, outcome in zip(urls, outcomes, strict=True)]
        if not as_json:
            _print_ids(submitted)
        if wait:
            _wait(manager, submitted, user, timeout)
    if as_json:
        print_json(_document(submitted, wait))
    elif wait:
        _print_finished(submitted)
    click.get_current_context().exit(next((one.exit_code for one in submitted if one.exit_code), 0))


def _submitted(url: str, outcome: SubmissionResult | JobQueueError) -> Submitted:
    if isinstance(outcome, JobQueueError):
        return Submitted(url, error=outcome)
    return Submitted(url, outcome.job, outcome.cached)


def _wait(manager: JobQueueManager, submitted: list[Submitted], user: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    for one in submitted:
        if one.job is not None:
            try:
                one.job = manager.wait_for_job(one.job.id, user, max(0.0, deadline - time.monotonic()))
            except JobQueueError as error:
                one.error = error


def _print_ids(submitted: list[Submitted]) -> None:
    for one in submitted:
        if one.job is not None:
            click.echo(str(one.job.id))
        elif one.error is not None:
            print_error(one.error.message if len(submitted) == 1 else f"{one.image_url}: {one.error.message}")


def _print_finished(submitted: list[Submitted]) -> None:
    jobs = [one for one in submitted if one.job is not None]
    rows = [(one.job.id, one.job.status.value, one.job.confidence, one.job.error) for one in jobs if one.job]
    if rows:
        print_table(["Job", "Status", "Confidence", "Error"], rows)
    for one in jobs:
        if one.error is not None:
            print_error(one.error.message)


def _document(submitted: list[Submitted], waited: bool) -> dict[str, Any]:
    entries = [_entry(one, waited) for one in submitted]
    first_error = next((one.error for one in submitted if one.error is not None), None)
    refused = {} if first_error is None else error_answer(first_error).model_dump(mode="json")
    return {"success": first_error is None, **refused, "submissions": entries}


def _entry(one: Submitted, waited: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"imageUrl": one.image_url}
    if one.job is not None:
        entry |= {"jobId": str(one.job.id), "cached": one.cached, "status": one.job.status.value}
        if waited:
            entry["job"] = JobDetails.model_validate(one.job).model_dump(mode="json")
    if one.error is not None:
        entry |= error_answer(one.error).model_dump(mode="json")
    return entry
