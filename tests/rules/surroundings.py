"""The world around the calls: the clock, the plans, and the ends of the callers' transactions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from tests.conftest import set_plan
from tests.rules.model import HOUR, limits
from tests.rules.reached import Reached
from tests.rules.world import MICROSECOND, WHICH, WHO, World, step

TIMES = st.sampled_from([timedelta(minutes=1), timedelta(minutes=20), HOUR - MICROSECOND, timedelta(days=1)])
AROUND_MIDNIGHT = st.sampled_from([-timedelta(milliseconds=1), -MICROSECOND, timedelta(0), timedelta(milliseconds=1)])
PLANS = st.sampled_from(["free", "premium", "gold", None])
LIMITS = st.sampled_from([-1, 0, 1, 2, 3, 4, 6, None, "2", True])
LEFT = st.sampled_from([None, 0, 1, 2])


class Surroundings(World):
    def time_passes(self, by: timedelta) -> None:
        self.clock.now += by

    def the_month_ends(self, offset: timedelta) -> None:
        self.clock.now = max(self.view(None).next_month() + offset, self.clock.now)
        for user in self.users:
            self.compare_counts(user)

    def the_hour_of_some_upload_ends(self, who: int, which: int, over: bool) -> None:
        """The clock goes to exactly 60 minutes after an upload, or to the microsecond before."""
        user = self.users[who]
        recent = self.view(None).in_hour(user)
        if recent:
            self.clock.now = recent[which % len(recent)] + HOUR - (timedelta(0) if over else MICROSECOND)
            self.compare_counts(user)

    def the_next_one_is_let_in(self, who: int) -> None:
        """The clock goes to the very moment that the rate limit named."""
        reset_at = self.manager.check_rate_limit(self.users[who]).reset_at
        if reset_at is not None and reset_at > self.clock.now:
            self.clock.now = reset_at
            assert self.manager.check_rate_limit(self.users[who]).allowed

    def change_plan(self, who: int, plan: str | None, quota: Any, hourly: Any) -> None:
        self.set_limits(who, plan, quota, hourly)

    def the_limits_come_near(self, who: int, month: int | None, hour: int | None) -> None:
        """So many are left from now on (without a number: any), since limits that are far away refuse nothing."""
        user, view = self.users[who], self.view(None)
        quota = -1 if month is None else view.in_month(user) + month
        hourly = -1 if hour is None else len(view.in_hour(user)) + hour
        self.set_limits(who, "free", quota, hourly)

    def set_limits(self, who: int, plan: str | None, quota: Any, hourly: Any) -> None:
        plan_limits = {"ocr_jobs": quota, "hourly_uploads": hourly}
        set_plan(self.engine, self.users[who], plan, plan_limits)
        self.limits[self.users[who]] = limits(plan, plan_limits)

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
        if changes.jobs:
            self.reach(Reached.COMMITTED if commit else Reached.ROLLED_BACK)
        if not commit and any(job.retry_of for job in changes.jobs.values() if job.id not in self.committed):
            self.reach(Reached.RETRY_ROLLED_BACK)

    def check(self, who: int) -> None:
        self.compare_counts(self.users[who])


SURROUNDINGS = [
    step(Surroundings.time_passes, 1, by=TIMES),
    step(Surroundings.the_month_ends, 2, offset=AROUND_MIDNIGHT),
    step(Surroundings.the_hour_of_some_upload_ends, 4, who=WHO, which=WHICH, over=st.booleans()),
    step(Surroundings.the_next_one_is_let_in, 1, who=WHO),
    step(Surroundings.change_plan, 1, who=WHO, plan=PLANS, quota=LIMITS, hourly=LIMITS),
    step(Surroundings.the_limits_come_near, 3, who=WHO, month=LEFT, hour=LEFT),
    step(Surroundings.end_transaction, 9, where=st.sampled_from([0, 1]), commit=st.booleans()),
    step(Surroundings.check, 1, who=WHO),
]
