"""The database and the model side by side: users, a clock, and several transactions open at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from jobqueue import JobQueueError, JobQueueManager, QueueUnavailableError, Settings
from tests.clock import Clock
from tests.conftest import add_user
from tests.rules.model import HOUR, Job, Refused, Transaction, View, limits
from tests.rules.reached import Reached

MICROSECOND = timedelta(microseconds=1)

WHO = st.integers(0, 1)
WHICH = st.integers(0, 40)
# Mostly none: an open transaction holds up every other call for its user.
SESSIONS = st.sampled_from([None] * 5 + [0, 1])

Step = tuple[str, dict[str, Any]]


def step(method: Callable[..., None], weight: int, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    """A call of the method, as often as ``weight`` says among all steps.

    Not a rule of its own: hypothesis leaves out about half of a machine's rules in each example, and an example that
    lacks submissions, or failures, or retries, comes near no limit of retries.
    """
    call = st.tuples(st.just(method.__name__), st.fixed_dictionaries(arguments))
    return st.one_of([call] * weight)


class World(RuleBasedStateMachine):
    engine: ClassVar[Engine]
    settings: ClassVar[Settings]
    reached: ClassVar[Counter[Reached]]

    def begin(self) -> None:
        self.clock = Clock(datetime(2024, 2, 28, 22, 30, tzinfo=UTC))
        self.manager = JobQueueManager(self.engine, settings=self.settings, clock=self.clock)
        self.users = [add_user(self.engine, "free", None) for _ in range(2)]
        self.limits = {user: limits("free", None) for user in self.users}
        self.committed: dict[UUID, Job] = {}
        self.open: dict[int, tuple[Session, Transaction]] = {}
        self.known: list[UUID] = []

    def teardown(self) -> None:
        for user in self.users:
            self.compare_counts(user)
        for session, _changes in self.open.values():
            session.close()

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

    def compare_counts(self, user: UUID) -> None:
        """The library counts what the model counts."""
        view = self.view(None)
        quota, hourly = self.limits[user]
        checked, rate = self.manager.check_quota(user), self.manager.check_rate_limit(user)
        over_quota, over_hour = view.over_quota(user, quota), view.over_hour(user, hourly)
        assert (checked.allowed, checked.current, checked.limit) == (not over_quota, view.in_month(user), quota)
        assert checked.resets_at == view.next_month()
        assert (rate.allowed, rate.current, rate.limit) == (not over_hour, len(view.in_hour(user)), hourly)
        assert rate.reset_at == (over_hour.details["reset_at"] if over_hour else self.clock.now)

    # Choosing

    def some_job(self, which: int, where: int | None = None, fits: Callable[[Job], bool] | None = None) -> UUID:
        """Mostly one that ``fits``, since few picked blindly do; else any, committed or not, or none at all."""
        fitting = [job.id for job in self.view(where).jobs.values() if fits is not None and fits(job)]
        if fitting and which < 30:
            return fitting[-1 - which % len(fitting)]
        return self.known[-1 - which % len(self.known)] if self.known and which < 40 else uuid4()

    # What each transaction sees and holds

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
        if waited:
            self.reach(Reached.WAITED)
        return None if waited else outcome

    # What a run came to

    def reach(self, *moments: Reached) -> None:
        self.reached.update(moments)

    def reach_edges(self, user: UUID, view: View) -> None:
        """Called where the limits decide: is this one of the moments at which an hour or a month ends?"""
        ages = {view.now - job.created_at for job in view.jobs.values() if job.user == user}
        edges = {
            Reached.HOUR_OVER: HOUR in ages,
            Reached.HOUR_NOT_OVER: HOUR - MICROSECOND in ages,
            Reached.MONTH_BEGINS: view.month_start() == view.now,
            Reached.MONTH_ENDS: view.next_month() - MICROSECOND == view.now,
        }
        self.reach(*(moment for moment, is_now in edges.items() if is_now))


def expect_refusal(outcome: Any, refused: Refused) -> None:
    assert isinstance(outcome, JobQueueError), outcome
    assert outcome.code == refused.code
    if refused.details:
        assert outcome.details == refused.details
