"""What users ask for: submissions one by one and many at once, and retries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from sqlalchemy.orm import Session

from jobqueue import ExtractionJob, SubmissionResult
from tests.integration.jobs import URL
from tests.rules.model import Job, Key, Refused
from tests.rules.reached import Reached
from tests.rules.world import SESSIONS, WHICH, WHO, World, expect_refusal, step

PICTURES = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])
VERSIONS = st.sampled_from(["v1.0", "v1.0", "v2"])
ENTRIES = st.lists(st.tuples(PICTURES, VERSIONS, st.booleans()), max_size=5)


class Asking(World):
    def submit(self, who: int, picture: str, version: str, force: bool, where: int | None) -> None:
        user = self.users[who]

        def call(session: Session | None) -> Any:
            return self.manager.submit_job(user, URL, picture, prompt_version=version, force=force, session=session)

        outcome = self.attempt(where, call, waits=self.user_is_held(user, where))
        if outcome is not None:
            self.hold(user, where)
            self.reach_edges(user, self.view(where))
            self.expect_submission(user, (picture, version), force, outcome, where)
        self.a_moment_passes()

    def submit_many(self, who: int, entries: list[tuple[str, str, bool]], where: int | None) -> None:
        user = self.users[who]
        wanted = [
            {"image_url": URL, "image_hash": picture, "prompt_version": version, "force": force}
            for picture, version, force in entries
        ]
        outcomes = self.attempt(
            where,
            lambda session: self.manager.submit_jobs(user, wanted, session=session),
            waits=self.user_is_held(user, where),
        )
        if outcomes is not None:
            self.hold(user, where)
            assert len(outcomes) == len(entries)
            for (picture, version, force), outcome in zip(entries, outcomes, strict=True):
                self.expect_submission(user, (picture, version), force, outcome, where)
        self.a_moment_passes()

    def a_moment_passes(self) -> None:
        """After a call and not before it, so that a call may come at the very moment that the clock was put to."""
        self.clock.advance(seconds=1)

    def expect_submission(self, user: UUID, key: Key, force: bool, outcome: Any, where: int | None) -> None:
        view = self.view(where)
        answer = None if force else view.answer(user, key)
        quota, hourly = self.limits[user]
        retries = view.retries_in_month(user)
        over_quota = None if answer else view.over_quota(user, quota)
        refused = None if answer else over_quota or view.over_hour(user, hourly)
        if refused is not None:
            expect_refusal(outcome, refused)
            self.reach(Reached.OVER_QUOTA if over_quota else Reached.OVER_HOUR)
            if over_quota and retries:
                self.reach(Reached.OVER_QUOTA_WITH_RETRIES)
            return
        assert isinstance(outcome, SubmissionResult), outcome
        if answer is not None:
            assert (outcome.job.id, outcome.cached) == (answer.id, answer.status == "completed")
            self.reach(Reached.CACHED if outcome.cached else Reached.SAME_JOB)
        else:
            assert (outcome.cached, outcome.job.id in self.known) == (False, False)
            self.made(Job(outcome.job.id, user, key, outcome.job.created_at), outcome.job, where)
            self.reach(Reached.ACCEPTED)
            if quota != -1 and view.in_month(user) + retries >= quota:
                self.reach(Reached.ACCEPTED_BESIDE_RETRIES)

    def made(self, expected: Job, job: ExtractionJob, where: int | None) -> None:
        assert timedelta(0) <= self.clock.now - job.created_at < timedelta(milliseconds=1)
        assert (job.status, job.attempt, job.retry_of) == ("queued", 0, expected.retry_of)
        self.known.append(job.id)
        self.write(expected, where)

    def retry(self, which: int, who: int, where: int | None) -> None:
        user, before = self.users[who], self.view(where)

        def fits(job: Job) -> bool:
            return job.user == user and (job.status == "failed" if which >= 20 else before.may_be_retried(job))

        job_id = self.some_job(which, where, fits)
        job = before.of_user(job_id, user)
        outcome = self.attempt(
            where,
            lambda session: self.manager.retry_job(job_id, user, session=session),
            waits=job is not None and self.user_is_held(user, where),
        )
        if outcome is not None:
            self.expect_retry(job_id, job, user, outcome, where)
        self.a_moment_passes()

    def expect_retry(self, job_id: UUID, job: Job | None, user: UUID, outcome: Any, where: int | None) -> None:
        view, (quota, hourly) = self.view(where), self.limits[user]
        if job is None:
            expect_refusal(outcome, Refused("JOB_NOT_FOUND"))
            if job_id in view.jobs:
                self.reach(Reached.SOMEBODY_ELSES)
            return
        self.reach_edges(user, view)
        expected = view.retry(job_id, user, hourly)
        if isinstance(expected, Refused):
            expect_refusal(outcome, expected)
            refusals = {
                "INVALID_STATUS": Reached.NOT_RETRIED,
                "MAX_RETRIES_EXCEEDED": Reached.RETRIES_USED_UP,
                "RATE_LIMIT_EXCEEDED": Reached.RETRY_OVER_HOUR,
            }
            self.reach(refusals[expected.code])
            return
        self.hold(user, where)
        assert isinstance(outcome, ExtractionJob), outcome
        if expected is not None:
            assert outcome.id == expected.id
            self.reach(Reached.SAME_RETRY)
            return
        assert outcome.id not in self.known
        new = Job(outcome.id, user, job.key, outcome.created_at, job.id, job.retry_count + 1)
        self.made(new, outcome, where)
        self.reach(Reached.RETRIED)
        if view.over_quota(user, quota):
            self.reach(Reached.RETRY_OVER_QUOTA)


ASKING = [
    step(Asking.submit, 4, who=WHO, picture=PICTURES, version=VERSIONS, force=st.booleans(), where=SESSIONS),
    step(Asking.submit_many, 2, who=WHO, entries=ENTRIES, where=SESSIONS),
    step(Asking.retry, 6, which=WHICH, who=WHO, where=SESSIONS),
]
