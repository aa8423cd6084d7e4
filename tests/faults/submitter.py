"""Whoever submits: tries again while the queue says that it is unavailable, and remembers what it was promised."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from jobqueue import JobQueueError, JobQueueManager
from tests.faults.load import Piece, make_piece, usual_script
from tests.image_server import ImageServer

UNBOUNDED = 1_000_000


class Submitter:
    """``submitted`` are the jobs that ``submit_job`` returned, ``refused`` counts how often it said unavailable."""

    def __init__(self, manager: JobQueueManager, user_id: UUID, images: ImageServer) -> None:
        self.submitted: dict[UUID, Piece] = {}
        self.refused = 0
        self._manager = manager
        self._user_id = user_id
        self._images = images
        self._numbers = 0
        self._lock = threading.Lock()
        # A test that failed has not mended what it broke: nobody waits for it then.
        self._failed = threading.Event()

    def submit(self, count: int, script: str | None = None) -> None:
        for _ in range(count):
            with self._lock:
                self._numbers += 1
                number = self._numbers
            piece = make_piece(self._images, number, usual_script(number) if script is None else script)
            job_id = self._submit(piece)
            if job_id is None:
                return
            with self._lock:
                self.submitted[job_id] = piece

    def _submit(self, piece: Piece) -> UUID | None:
        while not self._failed.is_set():
            try:
                return self._manager.submit_job(self._user_id, piece.url, piece.sha256).job.id
            except JobQueueError as error:
                if error.code != "QUEUE_UNAVAILABLE":
                    raise
                with self._lock:
                    self.refused += 1
                time.sleep(0.1)
        return None

    @contextmanager
    def submitting(self, per_second: float, at_most: int = UNBOUNDED) -> Iterator[None]:
        """Submit beside the block, at an even pace, until it ends."""
        ended = threading.Event()

        def run() -> None:
            for _ in range(at_most):
                if ended.wait(1 / per_second):
                    return
                self.submit(1)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            self._failed.set()
            raise
        finally:
            ended.set()
            thread.join()
