"""Calls that fetch a picture: few at a time, and in threads of their own, so that slow hosts hold up nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, fail_after, to_thread

from jobqueue.errors import QueueUnavailableError

T = TypeVar("T")

SLOTS = 20
WAIT_SECONDS = 10.0


class PictureSlots:
    def __init__(self) -> None:
        self._slots = CapacityLimiter(SLOTS)

    async def run(self, call: Callable[[], T]) -> T:
        """What ``call`` returns or raises, in a thread that does not count among those of the other routes.

        Raises ``QueueUnavailableError`` when no slot becomes free within ``WAIT_SECONDS``.
        """
        slot = object()
        try:
            with fail_after(WAIT_SECONDS):
                await self._slots.acquire_on_behalf_of(slot)
        except TimeoutError:
            raise QueueUnavailableError("Too many pictures are being fetched; try again in a moment.") from None
        try:
            return await to_thread.run_sync(call, limiter=CapacityLimiter(1))
        finally:
            self._slots.release_on_behalf_of(slot)
