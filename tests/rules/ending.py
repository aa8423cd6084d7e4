"""How jobs end: by their users, by the application itself, by workers, and by the reaper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from jobqueue import ExtractionJob
from jobqueue.database import Database
from jobqueue.store.completion import cancel_attempt
from tests.integration.jobs import claim, complete, fail, reap, requeue
from tests.rules.model import Job, Refused
from tests.rules.reached import Reached
from tests.rules.world import SESSIONS, WHICH, WHO, World, expect_refusal, step
from tests.scripted_extractor import RESULT

ENDS = st.sampled_from(["complete", "old format", "fail", "fail", "requeue", "cancel"])
MOSTLY_NOT = st.sampled_from([False, False, False, True])


class Ending(World):
    def cancel(self, which: int, who: int, where: int | None) -> None:
        user = self.users[who]
        job_id = self.some_job(which, where, lambda job: job.user == user and job.active)
        job = self.view(where).of_user(job_id, user)
        outcome = self.attempt(
            where,
            lambda session: self.manager.cancel_job(job_id, user, session=session),
            waits=job is not None and job.active and self.job_is_held(job_id, where),
        )
        if outcome is None:
            return
        if job is None:
            expect_refusal(outcome, Refused("JOB_NOT_FOUND"))
        elif not job.active:
            expect_refusal(outcome, Refused("INVALID_STATUS"))
            self.reach(Reached.FINISHED_JOB_KEPT)
        else:
            at_once = job.status == "queued"
            cancelled = job.moved("failed", error_code="CANCELLED") if at_once else job
            self.ended(cancelled, outcome, where, cancel_requested=True)
            self.reach(Reached.CANCELLED_AT_ONCE if at_once else Reached.CANCELLATION_NOTED)

    def mark_completed(self, which: int, where: int | None, valid: bool) -> None:
        def call(job_id: UUID, session: Session | None) -> Any:
            return self.manager.mark_job_completed(job_id, RESULT if valid else {"dishes": []}, 5, session=session)

        def completed(job: Job) -> Job:
            return job.moved("completed", reusable=True, error_code=None)

        self.mark(which, where, call, completed, Reached.MARKED_COMPLETED, valid)

    def mark_failed(self, which: int, where: int | None, increment: bool) -> None:
        def call(job_id: UUID, session: Session | None) -> Any:
            return self.manager.mark_job_failed(job_id, "No menu.", increment, session=session)

        def failed(job: Job) -> Job:
            return job.moved("failed", error_code="EXTRACTION_FAILED", retry_count=job.retry_count + increment)

        self.mark(which, where, call, failed, Reached.MARKED_FAILED)

    def mark(
        self,
        which: int,
        where: int | None,
        call: Callable[[UUID, Session | None], Any],
        change: Callable[[Job], Job],
        moment: Reached,
        valid: bool = True,
    ) -> None:
        job_id = self.some_job(which, where, lambda job: job.active)
        job = self.view(where).jobs.get(job_id)
        possible = job is not None and job.active and not job.cancel_requested
        waits = valid and possible and self.job_is_held(job_id, where)
        outcome = self.attempt(where, lambda session: call(job_id, session), waits=waits)
        if outcome is None:
            return
        if job is None:
            expect_refusal(outcome, Refused("JOB_NOT_FOUND"))
        elif not valid:
            expect_refusal(outcome, Refused("INVALID_RESULT"))
            self.reach(Reached.MALFORMED_RESULT)
        elif not possible:
            expect_refusal(outcome, Refused("INVALID_STATUS"))
            self.reach(Reached.FINISHED_JOB_KEPT)
        else:
            self.ended(change(job), outcome, where)
            self.reach(moment)

    def ended(self, expected: Job, outcome: Any, where: int | None, cancel_requested: bool = False) -> None:
        assert isinstance(outcome, ExtractionJob), outcome
        assert (outcome.status, outcome.error_code) == (expected.status, expected.error_code)
        changes = {**vars(expected), "cancel_requested": cancel_requested}
        self.write(Job(**changes), where)

    # What workers and the reaper do, each in a transaction of its own

    def claim(self, which: int) -> None:
        job = self.committed.get(self.some_job(which, None, lambda job: job.status == "queued"))
        if job is None:
            return
        due = job.status == "queued" and job.attempt < 4
        claimed = self.attempt(None, lambda _session: [claim(self.engine, job.id)], due and self.job_is_held(job.id))
        if claimed is None:
            return
        assert (claimed[0] is not None) is due
        if due:
            self.write(job.moved("processing", error_code=None), None)

    def end_attempt(self, which: int, end: str, late: bool) -> None:
        job = self.committed.get(self.some_job(which, None, lambda job: job.status == "processing"))
        if job is None:
            return
        attempt = job.attempt - late
        calls: dict[str, Callable[[], bool]] = {
            "complete": lambda: complete(self.engine, job.id, attempt),
            "old format": lambda: complete(self.engine, job.id, attempt, {"dishes": []}),
            "fail": lambda: fail(self.engine, job.id, attempt),
            "requeue": lambda: requeue(self.engine, job.id, attempt),
            "cancel": lambda: Database(self.engine).run(lambda c: cancel_attempt(c, job.id, attempt)),
        }
        mine = job.status == "processing" and not late and job.cancel_requested == (end == "cancel")
        written = self.attempt(None, lambda _session: [calls[end]()], waits=mine and self.job_is_held(job.id))
        if written is None:
            return
        assert written == [mine]
        if mine:
            changes: dict[str, Callable[[], Job]] = {
                "complete": lambda: job.moved("completed", reusable=True, error_code=None),
                "old format": lambda: job.moved("completed", error_code=None),
                "fail": lambda: job.moved("failed", error_code="NO_MENU_FOUND"),
                "requeue": lambda: job.moved("queued", error_code="BUSY"),
                "cancel": lambda: job.moved("failed", error_code="CANCELLED"),
            }
            self.write(changes[end](), None)
            if end == "cancel":
                self.reach(Reached.CANCELLED_BY_WORKER)
        elif late and job.status == "processing":
            self.reach(Reached.LATE_ATTEMPT)

    def lose_worker(self, which: int) -> None:
        job = self.committed.get(self.some_job(which, None, lambda job: job.status == "processing"))
        if job is None or job.status != "processing" or self.job_is_held(job.id):
            return
        with self.engine.begin() as connection:
            expire = "UPDATE menu_extraction_jobs SET lease_expires_at = '2020-01-01' WHERE id = :id"
            connection.execute(text(expire), {"id": job.id})
        (reaped,) = reap(self.engine)
        finally_lost = job.cancel_requested or job.attempt == 4
        assert (reaped.id, reaped.status) == (job.id, "failed" if finally_lost else "queued")
        code = "CANCELLED" if job.cancel_requested else "WORKER_LOST"
        self.write(job.moved(reaped.status.value, error_code=code), None)
        self.reach(Reached.LOST_FINALLY if finally_lost else Reached.LOST_WORKER)


ENDING = [
    step(Ending.cancel, 2, which=WHICH, who=WHO, where=SESSIONS),
    step(Ending.mark_completed, 1, which=WHICH, where=SESSIONS, valid=st.booleans()),
    step(Ending.mark_failed, 3, which=WHICH, where=SESSIONS, increment=st.booleans()),
    step(Ending.claim, 3, which=WHICH),
    step(Ending.end_attempt, 4, which=WHICH, end=ENDS, late=MOSTLY_NOT),
    step(Ending.lose_worker, 1, which=WHICH),
]
