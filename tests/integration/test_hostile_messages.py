"""What somebody with access to Redis can put into the queue: the worker refuses it in a line and goes on working."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from jobqueue import JobQueueManager, Settings
from tests.eventually import eventually
from tests.image_server import ImageServer
from tests.integration.jobs import current
from tests.processes import Processes

QUEUE = "menu_extraction"
TASK = "worker.tasks.extract_menu"
EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
AFTERWARDS: dict[str, Any] = {"task": "os.system", "args": ["true"], "kwargs": {}, "options": {}, "immutable": True}


class Touch:
    """Unpickling it creates a file: what a naive consumer would do for an attacker."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (open, (str(self._path), "w"))  # type: ignore[return-value]


def message(body: bytes, content_type: str = "application/json", **headers: Any) -> bytes:
    """As kombu writes it into the list of the queue."""
    tag = str(uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8" if content_type == "application/json" else "binary",
            "content-type": content_type,
            "headers": {"lang": "py", "task": TASK, "id": tag, "argsrepr": "()", "kwargsrepr": "{}", **headers},
            "properties": {
                "correlation_id": tag,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": tag,
            },
        }
    ).encode()


def call(*arguments: Any, **keywords: Any) -> bytes:
    return json.dumps([arguments, keywords, EMBEDDED]).encode()


@pytest.fixture
def test_a_pickle_would_be_executed_by_whoever_unpickles_it(tmp_path: Path) -> None:
    trap = tmp_path / "pickled"
    pickle.loads(pickle.dumps(Touch(trap))).close()  # noqa: S301 - our own
    assert trap.exists()


def test_the_worker_survives_what_is_no_message_of_ours(
    processes: Processes,
    redis_client: redis.Redis,
    manager: JobQueueManager,
    settings: Settings,
    user_id: UUID,
    image_server: ImageServer,
    tmp_path: Path,
) -> None:
    trap = tmp_path / "pickled"
    pickled = pickle.dumps(((Touch(trap),), {}, {}))
    hostile = {
        "pickle": message(pickled, "application/x-python-serialize"),
        "pickle that calls itself json": message(pickled),
        "yaml": message(b"!!python/object/apply:os.system ['true']", "application/x-yaml"),
        "an unknown task": message(call(), task="os.system"),
        "another task of celery's": message(call(), task="celery.backend_cleanup"),
        "an id that is none": message(call("x'; DROP TABLE menu_extraction_jobs; --")),
        "an id that is no text": message(call(7)),
        "an id with much to say": message(call("x" * 1_000_000)),
        "no argument": message(call()),
        "an unknown argument": message(call(str(uuid4()), user="eve")),
        "a job that does not exist": message(call(str(uuid4()))),
        "no json": message(b"{"),
        "nested without end": message(b"[" * 100_000),
        "chained to another task": message(json.dumps([[str(uuid4())], {}, {"chain": [AFTERWARDS]}]).encode()),
    }
    for one in hostile.values():
        redis_client.lpush(QUEUE, one)
    with processes.worker(concurrency=1) as worker, processes.notifier():
        eventually(lambda: redis_client.llen(QUEUE) == 0, within=30, what="an empty queue")
        digest = image_server.sha256("/menu.png")
        job = manager.submit_job(user_id, image_server.url(), digest).job
        eventually(lambda: current(manager, job.id).is_finished, within=30, what="the job ends")
        assert current(manager, job.id).status == "completed"
        assert worker.poll() is None
        eventually(lambda: redis_client.hlen("unacked") == 0, what="nothing is kept for another delivery")
        said = Path(worker.log_path).read_text()
    assert not trap.exists()
    assert said.count("is not the id of a job; the message is dropped") == 3
    assert said.count("Received invalid task message: Refusing to deserialize untrusted content") == 2
    assert "DROP TABLE" not in said
    assert len(said) < 100_000
