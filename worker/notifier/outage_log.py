"""Saying that something is broken once, then now and then, and once when it works again: however long it lasts."""

from __future__ import annotations

import logging
import time

SAY_AGAIN_AFTER_SECONDS = 30.0


class OutageLog:
    """What the notifier says of its own interruptions. At most two lines in ``SAY_AGAIN_AFTER_SECONDS``."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said_at = float("-inf")
        self._said = False
        self.failures = 0
        """Failed tries since it last worked."""

    def failed(self, error: Exception) -> None:
        self.failures += 1
        now = time.monotonic()
        if now - self._said_at >= SAY_AGAIN_AFTER_SECONDS:
            self._said_at, self._said = now, True
            self._log.warning("The notifier was interrupted (%s); trying again until it works.", error)

    def works(self) -> None:
        if self._said:
            self._log.info("The notifier works again after %d failed tries.", self.failures)
        self._said, self.failures = False, 0


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
