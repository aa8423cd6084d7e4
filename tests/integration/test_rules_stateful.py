"""Random interleavings of all calls, in several open transactions at once, against a plain model of the rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from jobqueue import ExtractionJob, JobQueueError, JobQueueManager, QueueUnavailableError, Settings, SubmissionResult
from jobqueue.database import Database, create_database_engine
from jobqueue.store.completion import cancel_attempt
from jobqueue.store.recovery import reap_expired_leases
from tests.clock import Clock
from tests.conftest import add_user, set_plan
from tests.integration.jobs import URL, claim, complete, fail, requeue
from tests.rules_model import Job, Key, Refused, Transaction, View, limits
from tests.scripted_extractor import RESULT

EXAMPLES = 18
STEPS = 40
# Long enough to get a lock that is free, short enough to find out often that one is not.
LOCK_TIMEOUT = "40ms"

WHO = st.integers(0, 1)
WHICH = st.integers(0, 40)
SESSIONS = st.sampled_from([None, None, 0, 1])
PICTURES = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])
VERSIONS = st.sampled_from(["v1.0", "v1.0", "v2"])
LIMITS = st.sampled_from([-1, 0, 1, 2, 3, 4, 6, None, "2", True])
ENTRIES = st.lists(st.tuples(PICTURES, VERSIONS, st.booleans()), max_size=5)


class Rules(RuleBasedStateMachine):
    engine: ClassVar[Engine]
    settings: ClassVar[Settings]

    @initialize()
    def begin(self) -> None:
        self.clock = Clock(datetime(2024, 2, 28, 22, 30, tzinfo=UTC))
        self.manager = JobQueueManager(self.engine, settings=self.settings, clock=self.clock)
        self.users = [add_user(self.engine, "free", None) for _ in range(2)]
        self.limits = {user: limits("free", None) for user in self.users}
        self.committed: dict[UUID, Job] = {}
        self.open: dict[int, tuple[Session, Transaction]] = {}
        self.known: list[UUID] = []

    def teardown(self) -> None:
        for who in range(len(self.users)):
            self.check(who)
        for session, _changes in self.open.values():
            session.close()

    # Submitting

    @rule(who=WHO, picture=PICTURES, version=VERSIONS, force=st.booleans(), where=SESSIONS)
    def submit(self, who: int, picture: str, version: str, force: bool, where: int | None) -> None:
        user = self.users[who]

        def call(session: Session | None) -> Any:
            return self.manager.submit_job(user, URL, picture, prompt_version=version, force=force, session=session)

        self.clock.advance(seconds=1)
        outcome = self.attempt(where, call, waits=self.user_is_held(user, where))
        if outcome is not None:
            self.hold(user, where)
            self.expect_submission(user, (picture, version), force, outcome, where)

    @rule(who=WHO, entries=ENTRIES, where=SESSIONS)
    def submit_many(self, who: int, entries: list[tuple[str, str, bool]], where: int | None) -> None:
        user = self.users[who]
        wanted = [
            {"image_url": URL, "image_hash": picture, "prompt_version": version, "force": force}
            for picture, version, force in entries
        ]
        self.clock.advance(seconds=1)
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

    def expect_submission(self, user: UUID, key: Key, force: bool, outcome: Any, where: int | None) -> None:
        view = self.view(where)
        answer = None if force else view.answer(user, key)
        quota, hourly = self.limits[user]
        refused = None if answer else view.over_quota(user, quota) or view.over_hour(user, hourly)
        if refused is not None:
            expect_refusal(outcome, refused)
            return
        assert isinstance(outcome, SubmissionResult), outcome
        if answer is not None:
            assert (outcome.job.id, outcome.cached) == (answer.id, answer.status == "completed")
        else:
            assert (outcome.cached, outcome.job.id in self.known) == (False, False)
            self.made(Job(outcome.job.id, user, key, outcome.job.created_at), outcome.job, where)

    def made(self, expected: Job, job: ExtractionJob, where: int | None) -> None:
        assert timedelta(0) <= self.clock.now - job.created_at < timedelta(milliseconds=1)
        assert (job.status, job.attempt, job.retry_of) == ("queued", 0, expected.retry_of)
        self.known.append(job.id)
        self.write(expected, where)

    @rule(which=WHICH, who=WHO, where=SESSIONS)
    def retry(self, which: int, who: int, where: int | None) -> None:
        job_id, user = self.some_failed_job(which, self.users[who], where), self.users[who]
        self.clock.advance(seconds=1)
        job = self.view(where).of_user(job_id, user)
        outcome = self.attempt(
            where,
            lambda session: self.manager.retry_job(job_id, user, session=session),
            waits=job is not None and self.user_is_held(user, where),
        )
        if outcome is None:
            return
        if job is None:
            expect_refusal(outcome, Refused("JOB_NOT_FOUND"))
            return
        expected = self.view(where).retry(job_id, user, self.limits[user][1])
        if isinstance(expected, Refused):
            expect_refusal(outcome, expected)
            return
        self.hold(user, where)
        assert isinstance(outcome, ExtractionJob), outcome
        if expected is not None:
            assert outcome.id == expected.id
        else:
            assert outcome.id not in self.known
            new = Job(outcome.id, user, job.key, outcome.created_at, job.id, job.retry_count + 1)
            self.made(new, outcome, where)

    # Ending

    @rule(which=WHICH, who=WHO, where=SESSIONS)
    def cancel(self, which: int, who: int, where: int | None) -> None:
        job_id, user = self.some_job(which), self.users[who]
        job = self.view(where).of_user(job_id, user)
        outcome = self.attempt(
            where,
            lambda session: self.manager.cancel_job(job_id, user, session=session),
            waits=job is not None and job.active and self.job_is_held(job_id, where),
        )
        if outcome is None:
            return
        if job is None or not job.active:
            expect_refusal(outcome, Refused("JOB_NOT_FOUND" if job is None else "INVALID_STATUS"))
            return
        cancelled = job.moved("failed", error_code="CANCELLED") if job.status == "queued" else job
        self.ended(cancelled, outcome, where, cancel_requested=True)

    @rule(which=WHICH, where=SESSIONS, valid=st.booleans())
    def mark_completed(self, which: int, where: int | None, valid: bool) -> None:
        def call(job_id: UUID, session: Session | None) -> Any:
            return self.manager.mark_job_completed(job_id, RESULT if valid else {"dishes": []}, 5, session=session)

        self.mark(which, where, call, lambda job: job.moved("completed", reusable=True, error_code=None), valid=valid)

    @rule(which=WHICH, where=SESSIONS, increment=st.booleans())
    def mark_failed(self, which: int, where: int | None, increment: bool) -> None:
        def call(job_id: UUID, session: Session | None) -> Any:
            return self.manager.mark_job_failed(job_id, "No menu.", increment, session=session)

        def failed(job: Job) -> Job:
            return job.moved("failed", error_code="EXTRACTION_FAILED", retry_count=job.retry_count + increment)

        self.mark(which, where, call, failed)

    def mark(
        self,
        which: int,
        where: int | None,
        call: Callable[[UUID, Session | None], Any],
        change: Callable[[Job], Job],
        valid: bool = True,
    ) -> None:
        job_id = self.some_job(which)
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
        elif not possible:
            expect_refusal(outcome, Refused("INVALID_STATUS"))
        else:
            self.ended(change(job), outcome, where)

    def ended(self, expected: Job, outcome: Any, where: int | None, cancel_requested: bool = False) -> None:
        assert isinstance(outcome, ExtractionJob), outcome
        assert (outcome.status, outcome.error_code) == (expected.status, expected.error_code)
        changes = {**vars(expected), "cancel_requested": cancel_requested}
        self.write(Job(**changes), where)

    # What workers and the reaper do, each in a transaction of its own

    @rule(which=WHICH)
    def claim(self, which: int) -> None:
        job = self.committed.get(self.some_job(which))
        if job is None:
            return
        due = job.status == "queued" and job.attempt < 4
        claimed = self.attempt(None, lambda _session: [claim(self.engine, job.id)], due and self.job_is_held(job.id))
        if claimed is None:
            return
        assert (claimed[0] is not None) is due
        if due:
            self.write(job.moved("processing", error_code=None), None)

    @rule(which=WHICH, end=st.sampled_from(["complete", "old format", "fail", "requeue", "cancel"]), late=st.booleans())
    def end_attempt(self, which: int, end: str, late: bool) -> None:
        job = self.committed.get(self.some_job(which))
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

    @rule(which=WHICH)
    def lose_worker(self, which: int) -> None:
        job = self.committed.get(self.some_job(which))
        if job is None or job.status != "processing" or self.job_is_held(job.id):
            return
        with self.engine.begin() as connection:
            expire = "UPDATE menu_extraction_jobs SET lease_expires_at = '2020-01-01' WHERE id = :id"
            connection.execute(text(expire), {"id": job.id})
        (reaped,) = Database(self.engine).run(lambda c: reap_expired_leases(c, 100))
        finally_lost = job.cancel_requested or job.attempt == 4
        assert (reaped.id, reaped.status) == (job.id, "failed" if finally_lost else "queued")
        code = "CANCELLED" if job.cancel_requested else "WORKER_LOST"
        self.write(job.moved(reaped.status.value, error_code=code), None)

    # The world around

    @rule(
        step=st.sampled_from(
            [
                timedelta(minutes=1),
                timedelta(minutes=20),
                timedelta(minutes=59, seconds=59, microseconds=999_999),
                timedelta(days=1),
            ]
        )
    )
    def time_passes(self, step: timedelta) -> None:
        self.clock.now += step

    @rule(last=st.booleans())
    def the_month_ends(self, last: bool) -> None:
        ahead = View({}, self.clock.now).next_month() - timedelta(milliseconds=1)
        self.clock.now = max(ahead, self.clock.now) + timedelta(milliseconds=0 if last else 2)

    @rule(who=WHO)
    def the_next_one_is_let_in(self, who: int) -> None:
        """The clock goes to the very moment that the rate limit named."""
        reset_at = self.manager.check_rate_limit(self.users[who]).reset_at
        if reset_at is not None and reset_at > self.clock.now:
            self.clock.now = reset_at
            assert self.manager.check_rate_limit(self.users[who]).allowed

    @rule(who=WHO, plan=st.sampled_from(["free", "premium", "gold", None]), quota=LIMITS, hourly=LIMITS)
    def change_plan(self, who: int, plan: str | None, quota: Any, hourly: Any) -> None:
        plan_limits = {"ocr_jobs": quota, "hourly_uploads": hourly}
        set_plan(self.engine, self.users[who], plan, plan_limits)
        self.limits[self.users[who]] = limits(plan, plan_limits)

    @rule(where=st.sampled_from([0, 1]), commit=st.booleans())
    def end_transaction(self, where: int, commit: bool) -> None:
        if where not in self.open:
            return
        session, changes = self.open.pop(where)
        with session:
            if commit:
                session.commit()
                self.committed |= changes.jobs
            else:
                session.rollback()

    @rule(who=WHO)
    def check(self, who: int) -> None:
        """The library counts what the model counts."""
        user, view = self.users[who], self.view(None)
        quota, hourly = self.limits[user]
        checked, rate = self.manager.check_quota(user), self.manager.check_rate_limit(user)
        over_quota, over_hour = view.over_quota(user, quota), view.over_hour(user, hourly)
        assert (checked.allowed, checked.current, checked.limit) == (not over_quota, view.in_month(user), quota)
        assert checked.resets_at == view.next_month()
        assert (rate.allowed, rate.current, rate.limit) == (not over_hour, len(view.in_hour(user)), hourly)
        assert rate.reset_at == (over_hour.details["reset_at"] if over_hour else self.clock.now)

    @invariant()
    def what_is_committed_is_what_the_model_says(self) -> None:
        with self.engine.connect() as connection:
            rows = connection.execute(
                text("""
                    SELECT jobs.*, ARRAY(
                        SELECT ARRAY[events.status, events.attempt::text] FROM menu_extraction_job_events AS events
                        WHERE events.job_id = jobs.id ORDER BY events.seq
                    ) AS history
                    FROM menu_extraction_jobs AS jobs WHERE user_id = ANY(:users)
                """),
                {"users": self.users},
            ).all()
        found = {
            row.id: Job(
                id=row.id,
                user=row.user_id,
                key=(row.image_hash, row.prompt_version),
                created_at=row.created_at,
                retry_of=row.retry_of,
                retry_count=row.retry_count,
                status=row.status,
                attempt=row.attempt,
                error_code=row.error_code,
                cancel_requested=row.cancel_requested_at is not None,
                reusable=row.result is not None and "menu" in row.result,
                history=tuple((status, int(attempt)) for status, attempt in row.history),
            )
            for row in rows
        }
        assert found == self.committed

    # How the model is kept

    def some_job(self, which: int) -> UUID:
        """One that some transaction made, committed or not, or none at all."""
        return self.known[-1 - which % len(self.known)] if self.known and which < 40 else uuid4()

    def some_failed_job(self, which: int, user: UUID, where: int | None) -> UUID:
        """Mostly one of the user's that may be retried: few jobs that are picked blindly may."""
        jobs = self.view(where).jobs.values()
        failed = [job.id for job in jobs if (job.user, job.status) == (user, "failed")]
        return failed[which % len(failed)] if failed and which < 30 else self.some_job(which)

    def view(self, where: int | None) -> View:
        changes = self.open[where][1].jobs if where in self.open else {}
        return View({**self.committed, **changes}, self.clock.now)

    def others(self, where: int | None) -> list[Transaction]:
        return [changes for number, (_session, changes) in self.open.items() if number != where]

    def user_is_held(self, user: UUID, where: int | None) -> bool:
        return any(user in changes.users for changes in self.others(where))

    def job_is_held(self, job_id: UUID, where: int | None = None) -> bool:
        return any(job_id in changes.jobs for changes in self.others(where))

    def hold(self, user: UUID, where: int | None) -> None:
        if where is not None:
            self.open[where][1].users.add(user)

    def write(self, job: Job, where: int | None) -> None:
        (self.committed if where is None else self.open[where][1].jobs)[job.id] = job

    def attempt(self, where: int | None, call: Callable[[Session | None], Any], waits: bool) -> Any:
        """What the call came to, an error of ours included; ``None`` when it had to wait for another transaction."""
        session: Session | None = None
        if where is not None:
            session = self.open.setdefault(where, (Session(self.engine), Transaction()))[0]
        try:
            outcome = call(session)
        except JobQueueError as error:
            outcome = error
        waited = isinstance(outcome, QueueUnavailableError) and outcome.details == {"sqlstate": "55P03"}
        assert waited == waits, "a call waits for the transactions that it depends on, and for no others"
        return None if waited else outcome


def expect_refusal(outcome: Any, refused: Refused) -> None:
    assert isinstance(outcome, JobQueueError), outcome
    assert outcome.code == refused.code
    if refused.details:
        assert outcome.details == refused.details


def test_no_interleaving_of_calls_breaks_a_rule(database_url: str, settings: Settings) -> None:
    separator = "&" if "?" in database_url else "?"
    patient = f"{database_url}{separator}options=-c%20lock_timeout%3D{LOCK_TIMEOUT}"

    class OnThisDatabase(Rules):
        engine = create_database_engine(patient, pool_size=8)

    OnThisDatabase.settings = settings
    run_state_machine_as_test(
        OnThisDatabase,
        settings=hypothesis_settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    OnThisDatabase.engine.dispose()
