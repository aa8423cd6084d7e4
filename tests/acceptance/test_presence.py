"""What a worker says of itself while it runs, while its broker is away, and when it stops."""

from __future__ import annotations

import signal
from urllib.parse import urlsplit

from sqlalchemy import Engine

from jobqueue.database import Database
from jobqueue.health import WorkerPresence
from jobqueue.store.workers import known_workers
from tests.acceptance.conftest import Application
from tests.eventually import eventually
from tests.processes import Processes
from tests.tcp_proxy import TcpProxy


def test_a_worker_says_whether_it_consumes_until_it_stops(
    own_application: Application, processes: Processes, redis_url: str, engine: Engine
) -> None:
    database = Database(engine)

    def seen() -> WorkerPresence | None:
        found = database.statement(known_workers)
        return found[0] if found else None

    def consuming() -> bool | None:
        worker = seen()
        return None if worker is None else worker.consuming

    port = urlsplit(redis_url).port or 0
    broker = TcpProxy(("127.0.0.1", port))
    behind = redis_url.replace(f":{port}/", f":{broker.port}/")
    with (
        broker.running(),
        processes.notifier(),
        processes.worker("--hostname=celery@present", CELERY_BROKER_URL=behind) as worker,
    ):
        eventually(consuming, what="a worker that consumes")
        first = seen()
        assert first is not None
        assert (first.name, first.holds) == ("celery@present", 0)

        def older() -> WorkerPresence | None:
            found = seen()
            return found if found is not None and found.received_ago > first.received_ago + 1 else None

        quiet = eventually(older, what="a worker without a message")
        assert quiet is not None
        own_application.finished(own_application.submit("kill,ok"))
        eventually(lambda: (seen() or quiet).received_ago < quiet.received_ago, what="a message received")
        broker.refuse()
        eventually(lambda: consuming() is False, within=40, what="a worker without a broker")
        broker.allow()
        eventually(consuming, within=40, what="a worker that consumes again")
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=30)
        assert seen() is None
