"""One moment by which a whole download must be over."""

from __future__ import annotations

import time


class Deadline:
    """Counts down from ``seconds``, on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, always above zero; raises ``TimeoutError`` once there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
