"""The OCR extractor in a worker beside the bare engine: ``python -m benchmarks.worker_extraction FOLDER``.

All pictures of the folder are submitted and extracted by one worker process as in production: fetched through the
guarded download from loopback, checked, stored, relayed. Then the bare engine reads the same pictures in this process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.extraction import SUFFIXES, read_bare
from benchmarks.systems import add_user
from jobqueue import JobQueueManager
from jobqueue.database import create_database_engine
from jobqueue.demo.picture_server import serve_picture
from jobqueue.embedded.child_process import ManagedProcess
from jobqueue.embedded.postgres_server import EmbeddedPostgres
from jobqueue.embedded.valkey_server import EmbeddedValkey
from jobqueue.migration import migrate
from jobqueue.settings import load_settings

TIMEOUT_SECONDS = 1800.0


def in_worker(pictures: list[Path]) -> tuple[float, dict[str, int]]:
    """Seconds from the first start to the last end, and how many jobs ended how."""
    with ExitStack() as cleanup:
        logs = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        urls = [cleanup.enter_context(serve_picture(picture)) for picture in pictures]
        os.environ.update(
            DATABASE_URL=cleanup.enter_context(EmbeddedPostgres()).url,
            REDIS_URL=cleanup.enter_context(EmbeddedValkey()).url,
            JOBQUEUE_PRIVATE_IMAGE_HOSTS="127.0.0.1",
            JOBQUEUE_EXTRACTOR="ocr",
        )
        settings = load_settings()
        engine = create_database_engine(settings.required_database_url)
        cleanup.callback(engine.dispose)
        migrate(engine)
        celery = ["celery", "-A", "worker", "worker", "--concurrency=1"]
        for name, command in {"notifier": ["worker.notifier"], "worker": celery}.items():
            process = ManagedProcess(
                [sys.executable, "-m", *command], cwd=Path(__file__).parent.parent, log_path=logs / f"{name}.log"
            )
            cleanup.enter_context(process)
        manager, user_id = JobQueueManager(engine, settings=settings), add_user(engine)
        manager.submit_job(user_id, urls[0])  # loads the models
        _until_finished(engine)
        for url in urls:
            manager.submit_job(user_id, url, force=True)
        _until_finished(engine)
        with engine.connect() as connection:
            jobs = "(SELECT * FROM menu_extraction_jobs ORDER BY created_at OFFSET 1) AS jobs"
            seconds = connection.execute(
                text(f"SELECT extract(epoch FROM max(completed_at) - min(started_at)) FROM {jobs}")
            ).scalar_one()
            ends = connection.execute(
                text(f"SELECT coalesce(error_code, status), count(*) FROM {jobs} GROUP BY 1 ORDER BY 1")
            )
            return float(seconds), {str(end): int(count) for end, count in ends}


def _until_finished(engine: Engine) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            unfinished = text("SELECT count(*) FROM menu_extraction_jobs WHERE status IN ('queued', 'processing')")
            if connection.execute(unfinished).scalar_one() == 0:
                return
        time.sleep(0.2)
    raise SystemExit(f"The worker did not finish within {TIMEOUT_SECONDS:.0f} s.")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.worker_extraction", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    pictures = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not pictures:
        parser.error(f"there is no JPEG, PNG or WebP in {folder}")
    seconds, ends = in_worker(pictures)
    next(filter(None, map(read_bare, pictures)), None)  # loads the models, which a worker does once
    bare = sum(read_bare(picture) or 0.0 for picture in pictures)
    print(f"{len(pictures)} pictures in a worker: {seconds:.1f} s, {ends}; by the bare engine: {bare:.1f} s")
    print(f"{bare / seconds:.2f} of the bare engine's throughput")


if __name__ == "__main__":
    main()
