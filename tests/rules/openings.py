"""States that random calls alone seldom come to, each brought about by calls that are checked like any other."""

from __future__ import annotations

from datetime import timedelta

from tests.rules.asking import Asking
from tests.rules.ending import Ending
from tests.rules.surroundings import Surroundings
from tests.rules.world import MICROSECOND

A, B, C = (letter * 64 for letter in "abc")
NEWEST = 0
RETRIED_BEFORE = 20


class Openings(Asking, Ending, Surroundings):
    """A limit is reached by some ten calls of one user in the right order; from beside it random calls reach it."""

    def nothing(self) -> None:
        """The empty table."""

    def ask(self, picture: str, where: int | None = None) -> None:
        self.submit(0, picture, "v1.0", False, where)

    def fail_and_retry(self, where: int | None = None) -> None:
        self.mark_failed(NEWEST, None, False)
        self.retry(NEWEST, 0, where)

    def a_line_of_retries(self) -> None:
        self.ask(A)
        for _ in range(4):
            self.fail_and_retry()
        self.the_limits_come_near(0, 1, None)
        self.ask(B)
        self.ask(C)
        self.fail_and_retry()

    def a_full_hour(self) -> None:
        self.ask(A)
        self.ask(B)
        self.the_limits_come_near(0, None, 0)
        self.fail_and_retry()
        self.ask(C)
        oldest, newest = 1, 0
        self.the_hour_of_some_upload_ends(0, oldest, over=False)
        self.ask(C)
        self.the_hour_of_some_upload_ends(0, newest, over=True)
        self.retry(NEWEST, 0, None)

    def two_months(self) -> None:
        self.the_month_ends(-MICROSECOND)
        self.ask(A)
        self.the_month_ends(timedelta(0))
        self.ask(B)
        self.ask(C)
        self.the_limits_come_near(0, 0, None)

    def cancellations(self) -> None:
        self.ask(A)
        self.cancel(NEWEST, 0, None)
        for picture in (A, B):
            self.ask(picture)
            self.claim(NEWEST)
            self.cancel(NEWEST, 0, None)
            if picture == A:
                self.end_attempt(NEWEST, "complete", late=False)
                self.end_attempt(NEWEST, "cancel", late=False)
            else:
                self.lose_worker(NEWEST)
        self.ask(C)
        self.claim(NEWEST)
        self.lose_worker(NEWEST)
        self.claim(NEWEST)
        self.end_attempt(NEWEST, "complete", late=True)

    def two_sessions(self) -> None:
        self.ask(A)
        self.fail_and_retry(where=0)
        self.ask(B)
        self.end_transaction(0, commit=False)
        self.retry(NEWEST, 0, where=1)
        self.end_transaction(1, commit=True)
        self.retry(RETRIED_BEFORE, 0, where=None)

    def answers(self) -> None:
        self.ask(A)
        self.ask(A)
        self.mark_completed(NEWEST, None, valid=False)
        self.mark_completed(NEWEST, None, valid=True)
        self.mark_failed(NEWEST, None, increment=False)
        self.retry(NEWEST, 0, None)
        self.retry(NEWEST, 1, None)
        self.ask(A)
        self.ask(B)
        self.claim(NEWEST)
        self.end_attempt(NEWEST, "old format", late=False)
        self.ask(B)


OPENINGS = [
    Openings.nothing,
    Openings.a_line_of_retries,
    Openings.a_full_hour,
    Openings.two_months,
    Openings.cancellations,
    Openings.two_sessions,
    Openings.answers,
]
