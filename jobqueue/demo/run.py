"""The main job end to end: start everything, submit a picture, watch it, show what came out, stop everything."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from rich.console import Console
from sqlalchemy import text

from jobqueue.database import create_database_engine, translated_errors
from jobqueue.demo.picture_server import serve_picture
from jobqueue.demo.report import show_failure, show_result, show_timings
from jobqueue.demo.watch import Picture, watch_job
from jobqueue.embedded.local_stack import LocalStack, Step
from jobqueue.embedded.stop_signals import stop_signals_raise
from jobqueue.errors import ImageRejectedError, InvalidInputError
from jobqueue.fetch import compute_sha256_from_url
from jobqueue.job import ExtractionJob
from jobqueue.manager import JobQueueManager
from jobqueue.settings import Settings, load_settings
from jobqueue.states import JobStatus

SAMPLE = Path(__file__).parent / "menus" / "two_columns.jpg"


def run_demo(source: str | None, console: Console) -> int:
    """Returns the exit code: 0 when the menu was extracted, 1 when the picture was refused or the job failed."""
    began = time.monotonic()
    try:
        with stop_signals_raise(), ExitStack() as cleanup:
            job, steps = _extract(source, console, cleanup)
            _show(job, steps, console)
            with console.status("Stopping everything"):
                cleanup.close()
    except ImageRejectedError as error:
        console.print(f"\n[red]The picture was refused:[/] {error.message}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130
    console.print(f"\nEverything was stopped again after {time.monotonic() - began:.1f} s.", highlight=False)
    return 0 if job.status is JobStatus.COMPLETED else 1


def _extract(source: str | None, console: Console, cleanup: ExitStack) -> tuple[ExtractionJob, list[Step]]:
    url, private_hosts = _picture_address(source, cleanup)
    # Before anything is started, so that a picture that cannot be used is refused at once.
    began = time.monotonic()
    allowed = frozenset({*load_settings().private_image_hosts, *private_hosts})
    image_hash = compute_sha256_from_url(url, settings=load_settings(private_image_hosts=allowed))
    hashed = Step("picture fetched and hashed", time.monotonic() - began)
    with console.status("Starting") as status:
        stack = cleanup.enter_context(
            LocalStack(
                private_image_hosts=private_hosts,
                announce=lambda name: status.update(f"Starting: {name}"),
            )
        )
    console.print(f"Running. Flower shows the tasks at {stack.flower_url} while this lasts.", highlight=False)
    console.print(
        f"Listen along: redis-cli -u {stack.settings.required_redis_url} SUBSCRIBE menu_extraction_jobs\n",
        highlight=False,
        soft_wrap=True,
    )
    manager = JobQueueManager(settings=stack.settings)
    cleanup.callback(manager.close)
    user_id = _demo_user(stack.settings)
    job, steps = watch_job(manager, stack, user_id, Picture(url, image_hash), console)
    return job, [hashed, *stack.steps, *steps]


def _show(job: ExtractionJob, steps: list[Step], console: Console) -> None:
    if job.status is JobStatus.COMPLETED:
        show_result(job, console)
    else:
        show_failure(job, console)
    show_timings(steps, console)


def _picture_address(source: str | None, cleanup: ExitStack) -> tuple[str, list[str]]:
    """The picture's address, and the hosts that may be private for it."""
    if source is not None and source.lower().startswith(("http://", "https://")):
        return source, []
    picture = SAMPLE if source is None else Path(source)
    if not picture.is_file():
        raise InvalidInputError(f"There is no file {source}; give the path or http(s) address of a picture.")
    try:
        url = cleanup.enter_context(serve_picture(picture))
    except PermissionError:
        raise InvalidInputError(f"The file {source} may not be read; check its permissions.") from None
    return url, [urlsplit(url).netloc]


def _demo_user(settings: Settings) -> UUID:
    user_id = uuid4()
    engine = create_database_engine(settings.required_database_url)
    try:
        with translated_errors(), engine.begin() as connection:
            connection.execute(text("INSERT INTO auth.users (id) VALUES (:id)"), {"id": user_id})
            connection.execute(text("INSERT INTO profiles (id, plan) VALUES (:id, 'enterprise')"), {"id": user_id})
    finally:
        engine.dispose()
    return user_id
