"""The event loop on which a worker process talks to its model, in a thread of its own.

The worker's threads only wait. So the requests of a process share one pool of connections, a request can be given up
at any moment, and a job that waits for its model costs a waiting thread and its picture.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")

LOOK_UP_EVERY_SECONDS = 1.0

_lock = threading.Lock()
_running: tuple[int, asyncio.AbstractEventLoop] | None = None


def run_on_model_loop(work: Coroutine[Any, Any, T], while_waiting: Callable[[], None]) -> T:
    """What ``work`` returns or raises, done on the loop of this process.

    ``while_waiting`` is called about once a second; what it raises ends the work and is raised here.
    """
    future: Future[T] = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        while not wait([future], timeout=LOOK_UP_EVERY_SECONDS).done:
            while_waiting()
        return future.result()
    finally:
        # Whatever ends the waiting, Celery's time limit too: an answer that nobody waits for must not be paid for.
        future.cancel()


def _loop() -> asyncio.AbstractEventLoop:
    """The loop of this process: a forked child has none of its parent's threads and makes its own."""
    global _running  # noqa: PLW0603 - one loop per process is the point
    with _lock:
        if _running is None or _running[0] != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="model-loop", daemon=True).start()
            _running = (os.getpid(), loop)
        return _running[1]
