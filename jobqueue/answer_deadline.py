"""A limit to waiting for the database's answer, where the operating system would wait for many minutes.

For an application's process, on a connection of whatever driver. A worker's own process has a simpler way, for all its
connections: ``worker.postgres_deadline``.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection


@contextmanager
def cut_off_after(connection: Connection, seconds: float) -> Iterator[None]:
    """Break the connection when the block takes longer, so that whoever waits in it gets an error and not silence.

    libpq has no such limit of its own, and a statement timeout is kept by the very server that does not answer.
    """
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - it was just taken out of the pool
    ending = threading.Lock()
    ended = False

    def cut_off() -> None:
        # Under the lock the connection is still ours: its number cannot be another socket's by now.
        with ending, suppress(OSError):
            if not ended:
                with socket.socket(fileno=os.dup(driver.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with ending:
            ended = True
