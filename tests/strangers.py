"""Alice, who has a job in each state, and what must not reach anybody else."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from jobqueue import ExtractionFeedback, ExtractionJob, JobQueueError, JobQueueManager, Settings
from tests.conftest import add_user
from tests.integration.jobs import claimed, complete, fail, some_hash

SECRET_URL = "https://pictures.example/menu-of-alice.png?token=hers"
STATES = ["queued", "processing", "completed", "failed"]


@dataclass(frozen=True)
class Job:
    """What a caller knows of a job: Alice's, or one that does not exist."""

    id: UUID
    image_hash: str


@dataclass(frozen=True)
class World:
    engine: Engine
    settings: Settings
    manager: JobQueueManager
    feedback: ExtractionFeedback
    alice: UUID
    jobs: dict[str, ExtractionJob]
    """Alice's, one in each state."""

    def stranger(self) -> UUID:
        """A Bob to whom nothing has happened yet."""
        return add_user(self.engine)

    def stranger_with_a_job(self) -> UUID:
        """A Bob whose own job is older than all of Alice's, so that a page could begin behind one of hers."""
        bob = self.stranger()
        insert = "INSERT INTO menu_extraction_jobs (user_id, image_url, created_at) VALUES (:bob, 'x', now() - :age)"
        with self.engine.begin() as connection:
            connection.execute(text(insert), {"bob": bob, "age": timedelta(hours=2)})
        return bob

    def hers(self) -> list[Job]:
        return [Job(job.id, str(job.image_hash)) for job in self.jobs.values()]

    def rows(self) -> list[str]:
        """Everything of Alice's that is stored."""
        tables = ("menu_extraction_jobs", "menu_extraction_job_events", "extraction_feedback")
        with self.engine.connect() as connection:
            return [
                row
                for table in tables
                for row in connection.execute(
                    text(f"SELECT t::text FROM {table} AS t WHERE user_id = :alice ORDER BY 1"),  # noqa: S608
                    {"alice": self.alice},
                ).scalars()
            ]

    def traces(self, *known: Job) -> list[str]:
        """What would give Alice away, apart from what the asker said himself."""
        said = {str(value) for one in known for value in (one.id, one.image_hash)}
        all_traces = {str(self.alice), SECRET_URL, "menu-of-alice", "Miso", "No menu.", "worker-of-alice"}
        for job in self.jobs.values():
            all_traces |= {str(job.id), str(job.image_hash)}
        return sorted(all_traces - said)


def world_of_alice(engine: Engine, settings: Settings, manager: JobQueueManager, feedback: ExtractionFeedback) -> World:
    alice = add_user(engine)
    jobs = {}
    for state in STATES:
        jobs[state] = manager.submit_job(alice, SECRET_URL, some_hash()).job
        if state != "queued":
            claimed(engine, jobs[state].id, worker="worker-of-alice")
    assert complete(engine, jobs["completed"].id, 1)
    assert fail(engine, jobs["failed"].id, 1)
    feedback.give(jobs["completed"].id, alice, "excellent", comment="menu-of-alice")
    return World(engine, settings, manager, feedback, alice, jobs)


def nobodys() -> Job:
    return Job(uuid4(), some_hash())


def answer(call: Callable[[], Any]) -> str:
    """What a caller gets to see, whatever it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return repr(call())
    except JobQueueError as error:
        return f"{type(error).__name__} {error.message} {error.code} {error.details}"


def alike(shown: str, job: Job, user: UUID) -> str:
    """The same for every job and user, where nothing but those differs."""
    for value, name in ((job.id, "<job>"), (job.image_hash, "<hash>"), (user, "<user>")):
        shown = shown.replace(str(value), name)
    shown = re.sub(r"datetime\.datetime\([^)]*\)|\d{4}-\d\d-\d\d[ T][0-9:.]+Z?", "<at>", shown)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<new>", shown)
