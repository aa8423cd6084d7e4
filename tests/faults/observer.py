"""What a test knows while it runs, by a way to the database that never fails on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tests.faults.extractor import executions
from tests.faults.load import Piece
from tests.faults.supervisor import Supervised


class Observer:
    def __init__(self, engine: Engine, journal: Path) -> None:
        self._engine = engine
        self._journal = journal

    def counts(self) -> dict[str, int]:
        """Jobs by status; empty while the database is away."""
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(text("SELECT status, count(*) FROM menu_extraction_jobs GROUP BY 1"))
                return {row[0]: int(row[1]) for row in rows}
        except DBAPIError:
            return {}

    def finished(self) -> int:
        counts = self.counts()
        return counts.get("completed", 0) + counts.get("failed", 0)

    def everything_ended(self, submitted: int, seen: int) -> bool:
        """Whether so many jobs have ended, none has not, and there are not more events than were seen."""
        counts = self.counts()
        ended = counts.get("completed", 0) + counts.get("failed", 0)
        return bool(counts) and ended == sum(counts.values()) and ended >= submitted and seen >= self._events()

    def _events(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM menu_extraction_job_events")).scalar_one())

    def leader_pid(self) -> int | None:
        """The process of the notifier that leads."""
        with self._engine.connect() as connection:
            leader = connection.execute(text("SELECT leader FROM menu_extraction_relay")).scalar_one()
            return None if leader is None else int(leader.split(":")[1])

    def attempts_ended(self, code: str) -> int:
        """How many attempts ended so: ``WORKER_LOST``, ``WORKER_STOPPED``."""
        with self._engine.connect() as connection:
            ended = text("SELECT count(*) FROM menu_extraction_job_events WHERE error_code = :code")
            return int(connection.execute(ended, {"code": code}).scalar_one())

    def held_by(self, worker: Supervised) -> list[UUID]:
        """The jobs in that worker's hands."""
        pids = {str(pid) for pid in worker.tree()}
        with self._engine.connect() as connection:
            rows = connection.execute(text("SELECT id, worker FROM menu_extraction_jobs WHERE status = 'processing'"))
            return [row.id for row in rows if row.worker.split("/")[-2] in pids]

    def executing_in(self, worker: Supervised, submitted: Mapping[UUID, Piece]) -> list[UUID]:
        """Those of them that have come as far as the extractor."""
        pids = {str(pid) for pid in worker.tree()}
        executed = executions(self._journal)
        tokens = {job: executed.get(submitted[job].number, []) for job in self.held_by(worker) if job in submitted}
        return [job for job, of_job in tokens.items() if of_job and of_job[-1].split()[0] in pids]

    def taken_over(self, jobs: Sequence[UUID]) -> bool:
        """Whether all of them are in a later attempt than their first."""
        with self._engine.connect() as connection:
            statement = text("SELECT attempt FROM menu_extraction_jobs WHERE id = ANY(:ids)")
            return all(row.attempt >= 2 for row in connection.execute(statement, {"ids": list(jobs)}))
