"""Free ports on the loopback interface."""

from __future__ import annotations

import random
import socket

from jobqueue.embedded.server_error import EmbeddedServerError

LOOPBACK = "127.0.0.1"
# Below every system's range of ephemeral ports: while a server is down for a restart, no outgoing connection can be
# given its port (a client that reconnects could even connect to itself).
CANDIDATES = range(15000, 32000)


def pick_free_port() -> int:
    """A port that was free a moment ago; raises ``EmbeddedServerError`` when 200 random ones are all taken."""
    for port in random.sample(CANDIDATES, 200):
        if is_free(port):
            return port
    raise EmbeddedServerError(
        f"no free port was found between {CANDIDATES.start} and {CANDIDATES.stop} on {LOOPBACK}; "
        "stop something that listens there, or set DATABASE_URL and REDIS_URL to running servers."
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now, under the rules that servers use (SO_REUSEADDR)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True
