"""Ending by SIGTERM or SIGHUP as by Ctrl-C, so that everything that was started is stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Within the block the first stop signal raises ``KeyboardInterrupt``; further ones do not disturb the clean-up."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for one in STOP_SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, interrupt) for one in STOP_SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
