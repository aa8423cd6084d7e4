"""The OCR extractor in a worker beside the bare engine: ``python -m benchmarks.worker_extraction FOLDER``.

All pictures of the folder are submitted and extracted by one worker process as in production: fetched through the
guarded download from loopback, checked, stored, relayed. Then the bare engine reads the same pictures in this process.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import text

from benchmarks.extraction import load_models, pictures_in, read_bare
from benchmarks.stack import Stack
from benchmarks.systems import add_user
from jobqueue import JobQueueManager
from jobqueue.demo.picture_server import serve_picture

TABLE = "menu_extraction_jobs"
TIMEOUT_SECONDS = 1800.0


def in_worker(pictures: list[Path]) -> tuple[float, dict[str, int]]:
    """Seconds from the first start to the last end, and how many jobs ended how."""
    with ExitStack() as cleanup:
        urls = [cleanup.enter_context(serve_picture(picture)) for picture in pictures]
        stack = Stack(cleanup, picture_host="127.0.0.1", extractor="ocr")
        cleanup.enter_context(stack.process("notifier", ["worker.notifier"]))
        cleanup.enter_context(stack.process("worker", ["celery", "-A", "worker", "worker", "--concurrency=1"]))
        manager, user_id = JobQueueManager(stack.engine, settings=stack.settings), add_user(stack.engine)
        manager.submit_job(user_id, urls[0])  # loads the models
        stack.until_drained(TABLE, TIMEOUT_SECONDS, every=0.2)
        for url in urls:
            manager.submit_job(user_id, url, force=True)
        stack.until_drained(TABLE, TIMEOUT_SECONDS, every=0.2)
        with stack.engine.connect() as connection:
            jobs = f"(SELECT * FROM {TABLE} ORDER BY created_at OFFSET 1) AS jobs"
            seconds = connection.execute(
                text(f"SELECT extract(epoch FROM max(completed_at) - min(started_at)) FROM {jobs}")
            ).scalar_one()
            ends = connection.execute(
                text(f"SELECT coalesce(error_code, status), count(*) FROM {jobs} GROUP BY 1 ORDER BY 1")
            )
            return float(seconds), {str(end): int(count) for end, count in ends}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.worker_extraction", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("folder", type=Path)
    pictures = pictures_in(parser.parse_args().folder, parser)
    seconds, ends = in_worker(pictures)
    load_models(pictures)
    bare = sum(read_bare(picture) or 0.0 for picture in pictures)
    print(f"{len(pictures)} pictures in a worker: {seconds:.1f} s, {ends}; by the bare engine: {bare:.1f} s")
    print(f"{bare / seconds:.2f} of the bare engine's throughput")


if __name__ == "__main__":
    main()
