"""Whoever submits: tries again while the queue says that it is unavailable, and remembers what it was promised."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from jobqueue import JobQueueError, JobQueueManager, QueueUnavailableError
from tests.faults.load import Piece, make_piece, usual_script
from tests.image_server import ImageServer

UNBOUNDED = 1_000_000
PAGE = 50


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
        """One with ``submit_job``, several with ``submit_jobs``, a page at a time."""
        while count > 0:
            pieces = [self._next_piece(script) for _ in range(min(count, PAGE))]
            jobs = self._patiently(pieces)
            with self._lock:
                self.submitted.update(zip(jobs, pieces, strict=False))
            count -= len(pieces)

    def _next_piece(self, script: str | None) -> Piece:
        with self._lock:
            self._numbers += 1
            number = self._numbers
        return make_piece(self._images, number, usual_script(number) if script is None else script)

    def _patiently(self, pieces: Sequence[Piece]) -> list[UUID]:
        while not self._failed.is_set():
            try:
                return self._submit(pieces)
            except QueueUnavailableError:
                with self._lock:
                    self.refused += 1
                time.sleep(0.1)
        return []

    def _submit(self, pieces: Sequence[Piece]) -> list[UUID]:
        if len(pieces) == 1:
            return [self._manager.submit_job(self._user_id, pieces[0].url, pieces[0].sha256).job.id]
        wanted = [{"image_url": piece.url, "image_hash": piece.sha256} for piece in pieces]
        outcomes = self._manager.submit_jobs(self._user_id, wanted)
        for outcome in outcomes:
            if isinstance(outcome, JobQueueError):
                raise outcome
        return [outcome.job.id for outcome in outcomes if not isinstance(outcome, JobQueueError)]

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
