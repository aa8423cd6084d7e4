"""A worker of many threads that waits for a model: jobs in flight, memory, and what each attempt cost."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from jobqueue import ExtractionJob
from jobqueue.database import create_database_engine
from jobqueue.migration import migrate
from jobqueue.settings import load_settings
from tests.acceptance.conftest import Application, MakeApplication, Running
from tests.conftest import LOGS, DatabaseMaker
from tests.eventually import eventually
from tests.model_server import Held, OpenAiServer, Refused, Said
from tests.processes import WORKER, Processes
from tests.scripted_extractor import RESULT

THREADS = 60
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Asking:
    """An application whose jobs go to ``provider`` through a worker with this process id."""

    application: Application
    provider: OpenAiServer
    worker_pid: int

    def submit(self, path: str = "/menu.png") -> ExtractionJob:
        images = self.application.images
        url = images.url(path)
        return self.application.manager.submit_job(self.application.user_id, url, images.sha256(path), force=True).job


@pytest.fixture(scope="module")
def _asking(
    database_maker: DatabaseMaker, process_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, OpenAiServer, int]]:
    logs = tmp_path_factory.mktemp("model-worker")
    provider = OpenAiServer(Said(RESULT))
    with database_maker.database() as url, provider.running():
        engine = create_database_engine(url)
        migrate(engine)
        redis_url = process_redis_url.rpartition("/")[0] + f"/{int(process_redis_url.rpartition('/')[2]) + 16}"
        processes = Processes.for_servers(url, redis_url, logs)
        command = [*WORKER, "--loglevel=INFO", "--pool=threads", f"--concurrency={THREADS}"]
        environment = {
            "JOBQUEUE_EXTRACTOR": "llm",
            "JOBQUEUE_LLM_MODEL": provider.model,
            "JOBQUEUE_LLM_BASE_URL": provider.base_url,
            "JOBQUEUE_LLM_API_KEY": "sk-worker",
            "JOBQUEUE_LLM_TIMEOUT": "90",
        }
        with processes.notifier(), processes.running(command, " ready.", **environment) as worker:
            yield Running(load_settings(database_url=url, redis_url=redis_url), engine, logs), provider, worker.pid
        engine.dispose()


@pytest.fixture
def asking(
    request: pytest.FixtureRequest,
    _asking: tuple[Running, OpenAiServer, int],
    make_application: MakeApplication,
) -> Asking:
    running, provider, pid = _asking
    request.node.stash[LOGS] = [running.logs]
    provider.requests.clear()
    provider.most_in_flight = 0
    return Asking(make_application(running.settings, running.engine), provider, pid)


def peak_memory(pid: int) -> int:
    """The most memory that the process has held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_one_process_holds_sixty_jobs_in_flight_in_bounded_memory(asking: Asking) -> None:
    released = threading.Event()
    asking.provider.replies = [Held(released, Said(RESULT))]
    # 17 MB when it is decoded, which each of the sixty threads does.
    photo = io.BytesIO()
    Image.new("RGB", (2400, 1800), "white").save(photo, "JPEG")
    asking.application.images.add("/photo.jpg", photo.getvalue())
    jobs = [asking.submit("/photo.jpg") for _ in range(THREADS)]
    try:
        eventually(lambda: asking.provider.in_flight == THREADS, within=80, what="all jobs in flight")
    finally:
        released.set()
    ended = [asking.application.finished(job) for job in jobs]
    assert {(job.status, job.attempt) for job in ended} == {("completed", 1)}
    assert asking.provider.most_in_flight == len(asking.provider.requests) == THREADS
    assert peak_memory(asking.worker_pid) < 400 * MEGABYTE


def test_a_failed_attempt_is_paid_for_too_and_the_providers_wish_sets_the_wait(asking: Asking) -> None:
    useless = Said({"dishes": []}, input_tokens=1000, output_tokens=100)
    asking.provider.replies = [useless, Refused(429, {"Retry-After": "2"}), Said(RESULT, input_tokens=30)]
    job = asking.submit()
    ended = asking.application.finished(job)
    assert (ended.status, ended.attempt, len(asking.provider.requests)) == ("completed", 2, 3)
    assert ended.token_usage is not None
    assert (ended.token_usage["inputTokens"], ended.token_usage["outputTokens"]) == (1030, 300)
    assert ended.token_usage["estimatedCost"] > 0
    waiting, again = asking.application.manager.job_history(job.id)[2:4]
    assert waiting.error_code == "PROVIDER_RATE_LIMITED"
    assert (again.at - waiting.at).total_seconds() >= 2


def test_a_job_that_fails_for_good_keeps_what_it_cost_and_tells_nothing_of_the_providers_text(asking: Asking) -> None:
    asking.provider.replies = [Said({"dishes": []}), Refused(401)]
    ended = asking.application.finished(asking.submit())
    assert (ended.status, ended.error_code, ended.attempt) == ("failed", "PROVIDER_REFUSED_KEY", 1)
    assert ended.token_usage is not None
    assert ended.token_usage["inputTokens"] == 1000
    assert "secret" not in str(ended)


def test_a_cancelled_job_gives_its_request_up(asking: Asking) -> None:
    asking.provider.replies = [Held(threading.Event(), Said(RESULT))]
    job = asking.submit()
    eventually(lambda: asking.provider.in_flight == 1, what="the job in flight")
    asking.application.manager.cancel_job(job.id, asking.application.user_id)
    ended = asking.application.finished(job, within=15)
    assert (ended.status, ended.error_code) == ("failed", "CANCELLED")
