"""Saying that something is broken once, then now and then, and once when it works again: however long it lasts."""

from __future__ import annotations

import logging
import time
from collections import deque

SAY_AGAIN_AFTER_SECONDS = 30.0
OUTAGES_TOLD = 3


class OutageLog:
    """What the notifier says of its own interruptions.

    Of several short ones at most ``OUTAGES_TOLD`` in ``SAY_AGAIN_AFTER_SECONDS``.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: deque[float] = deque(maxlen=OUTAGES_TOLD)
        self._said_at: float | None = None
        self.failures = 0
        """Failed tries since it last worked."""

    def failed(self, error: Exception) -> None:
        self.failures += 1
        now = time.monotonic()
        # Of one outage the last line counts, of many the last but a few.
        before = self._said_at if self._said_at is not None else self._oldest_told()
        if now - before >= SAY_AGAIN_AFTER_SECONDS:
            self._said_at = now
            self._told.append(now)
            self._log.warning("The notifier was interrupted (%s); trying again until it works.", error)

    def works(self) -> None:
        if self._said_at is not None:
            self._log.info("The notifier works again after %d failed tries.", self.failures)
        self._said_at, self.failures = None, 0

    def _oldest_told(self) -> float:
        return self._told[0] if len(self._told) == OUTAGES_TOLD else float("-inf")


class OthersLimit(logging.Filter):
    """Lets a library's logger say one line in ``SAY_AGAIN_AFTER_SECONDS``, without a traceback.

    They know nothing of each other's outages, nor of ours, and some say every failed try.
    """

    def __init__(self, ours: tuple[str, ...] = ("worker", "jobqueue")) -> None:
        super().__init__()
        self._ours = ours
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.split(".")[0] in self._ours:
            return True
        now = time.monotonic()
        if now - self._said_at.get(record.name, float("-inf")) < SAY_AGAIN_AFTER_SECONDS:
            return False
        self._said_at[record.name] = now
        record.exc_info = record.exc_text = record.stack_info = None
        return True
