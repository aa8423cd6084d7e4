"""One execution of a job, whatever an extractor does: its row always ends in a state that says what happened."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import redis
from sqlalchemy import Engine, text

from jobqueue import ExtractionJob, JobQueueManager, Settings
from jobqueue.database import Database
from jobqueue.extraction import (
    ExtractionOutcome,
    ImageInput,
    PermanentExtractionError,
    ProgressReport,
    TransientExtractionError,
)
from tests.image_server import ImageServer
from tests.integration.jobs import claimed, current, requeue
from tests.scripted_extractor import RESULT
from worker import tasks
from worker.execution import AttemptFailedError, AttemptLostError, JobFailedError, execute_job
from worker.lease_keeper import LeaseKeeper
from worker.resources import WorkerResources

Step = Callable[[ImageInput, ProgressReport], Any]


class OneStep:
    """An extractor that does what the test says."""

    name = "one-step"

    def __init__(self, step: Step) -> None:
        self._step = step

    def extract(
        self, image: ImageInput, *, schema_version: str, prompt_version: str, report: ProgressReport
    ) -> ExtractionOutcome:
        assert (schema_version, prompt_version) == ("stage1", "v1.0")
        return cast(ExtractionOutcome, self._step(image, report))


Execute = Callable[[Step], ExtractionJob]
MakeResources = Callable[[Step], WorkerResources]


@pytest.fixture
def resources(engine: Engine, settings: Settings, redis_client: redis.Redis) -> MakeResources:
    database = Database(engine)

    def make(step: Step) -> WorkerResources:
        return WorkerResources(
            settings=settings,
            database=database,
            redis=redis_client,
            extractor=OneStep(step),
            leases=LeaseKeeper(database, settings.lease_seconds),
        )

    return make


@pytest.fixture
def job(manager: JobQueueManager, user_id: UUID, image_server: ImageServer) -> ExtractionJob:
    return manager.submit_job(user_id, image_server.url(), image_server.sha256()).job


@pytest.fixture
def execute(manager: JobQueueManager, job: ExtractionJob, resources: MakeResources) -> Execute:
    """Execute the job once; the row afterwards."""

    def run(step: Step) -> ExtractionJob:
        with contextlib.suppress(AttemptFailedError, JobFailedError):
            execute_job(resources(step), job.id, "worker-1")
        return current(manager, job.id)

    return run


def raising(error: BaseException) -> Step:
    def step(_image: ImageInput, _report: ProgressReport) -> Any:
        raise error

    return step


def make_due(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_jobs SET run_after = clock_timestamp()"))


def returning(outcome: Any) -> Step:
    return lambda _image, _report: outcome


def test_the_extractor_gets_the_checked_picture(
    execute: Execute, job: ExtractionJob, image_server: ImageServer
) -> None:
    seen: list[ImageInput] = []

    def step(image: ImageInput, _report: ProgressReport) -> ExtractionOutcome:
        seen.append(image)
        return ExtractionOutcome(RESULT, 0.5)

    assert execute(step).status == "completed"
    (image,) = seen
    assert (image.media_type, image.width, image.height) == ("image/png", 64, 48)
    assert (image.sha256, image.url) == (image_server.sha256(), job.image_url)


@pytest.mark.parametrize("confidence", [0, 1, 0.0, 1.0, 0.25])
def test_every_confidence_from_0_to_1_is_stored(execute: Execute, confidence: float) -> None:
    assert execute(returning(ExtractionOutcome(RESULT, confidence))).confidence == confidence


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(None, id="nothing"),
        pytest.param({"menu": {"categories": []}}, id="a bare result"),
        pytest.param(ExtractionOutcome({}, 0.5), id="an empty result"),
        pytest.param(ExtractionOutcome(cast(Any, None), 0.5), id="no result"),
        pytest.param(ExtractionOutcome(RESULT, 1.5), id="confidence above 1"),
        pytest.param(ExtractionOutcome(RESULT, -0.1), id="confidence below 0"),
        pytest.param(ExtractionOutcome(RESULT, float("nan")), id="confidence nan"),
        pytest.param(ExtractionOutcome(RESULT, cast(Any, "high")), id="confidence text"),
        pytest.param(ExtractionOutcome(RESULT, True), id="confidence bool"),
        pytest.param(ExtractionOutcome(RESULT, 0.5, cast(Any, [1])), id="usage list"),
        pytest.param(ExtractionOutcome(RESULT, 0.5, {"estimatedCost": float("nan")}), id="usage nan"),
        pytest.param(ExtractionOutcome(RESULT, 0.5, {"model": "a\x00b"}), id="usage nul"),
        pytest.param(ExtractionOutcome(RESULT, 0.5, {"estimatedCost": Decimal("0.01")}), id="usage decimal"),
        pytest.param(ExtractionOutcome(RESULT, 0.5, {"model": "\ud800"}), id="usage surrogate"),
    ],
)
def test_an_unusable_answer_fails_the_job_at_once_and_says_so(execute: Execute, outcome: Any) -> None:
    ended = execute(returning(outcome))
    assert (ended.status, ended.attempt) == ("failed", 1)
    assert ended.error_code in ("INVALID_RESULT", "EXTRACTION_FAILED")
    assert ended.error
    assert ended.result is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TransientExtractionError("Busy.", "PROVIDER_OVERLOADED"), "PROVIDER_OVERLOADED"),
        (ConnectionResetError("peer 10.0.0.1"), "NETWORK_ERROR"),
        (TimeoutError("after 30 s"), "NETWORK_ERROR"),
        (MemoryError(), "OUT_OF_MEMORY"),
    ],
)
def test_a_transient_error_puts_the_job_back_until_the_fourth_attempt(
    execute: Execute, engine: Engine, job: ExtractionJob, error: BaseException, code: str
) -> None:
    waiting = execute(raising(error))
    assert (waiting.status, waiting.attempt, waiting.error_code) == ("queued", 1, code)
    for attempt in (2, 3):
        make_due(engine)
        claimed(engine, job.id)
        requeue(engine, job.id, attempt)
    ended = execute(raising(error))
    assert (ended.status, ended.attempt, ended.error_code) == ("failed", 4, code)
    assert ended.error is not None
    assert "4" in ended.error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (PermanentExtractionError("There is no menu.", "NO_MENU_FOUND"), "NO_MENU_FOUND", "There is no menu."),
        (PermanentExtractionError("x" * 100_000, "C" * 500), "C" * 50, "x" * 2000),
        (PermanentExtractionError("a\x00b \ud800", "BAD\x00\ud800"), "BAD?", "ab ?"),
    ],
)
def test_a_permanent_error_fails_the_job_at_once_in_its_own_words(
    execute: Execute, error: Exception, code: str, message: str
) -> None:
    ended = execute(raising(error))
    assert (ended.status, ended.attempt, ended.error_code, ended.error) == ("failed", 1, code, message)


def test_what_every_attempt_cost_is_added_up(
    execute: Execute, manager: JobQueueManager, engine: Engine, job: ExtractionJob
) -> None:
    usage = {"inputTokens": 100, "outputTokens": 10, "estimatedCost": 0.5}
    waiting = execute(raising(TransientExtractionError("Busy.", "BUSY", token_usage=usage)))
    assert (waiting.status, waiting.token_usage) == ("queued", usage)
    make_due(engine)
    assert execute(raising(TransientExtractionError("Down.", "DOWN"))).token_usage == usage
    make_due(engine)
    ended = execute(returning(ExtractionOutcome(RESULT, 0.5, {**usage, "estimatedCost": None})))
    assert ended.status == "completed"
    assert ended.token_usage == {"inputTokens": 200, "outputTokens": 20, "estimatedCost": 0.5}


@pytest.mark.parametrize(
    "step",
    [
        raising(PermanentExtractionError("No.", "NO", token_usage={"inputTokens": 7})),
        returning(ExtractionOutcome({"dishes": []}, 0.5, {"inputTokens": 7})),
        returning(ExtractionOutcome(RESULT, 7, {"inputTokens": 7})),
    ],
)
def test_a_job_that_fails_keeps_what_it_cost(execute: Execute, step: Step) -> None:
    ended = execute(step)
    assert (ended.status, ended.token_usage) == ("failed", {"inputTokens": 7})


def test_a_cancelled_job_keeps_what_it_cost(execute: Execute, manager: JobQueueManager, job: ExtractionJob) -> None:
    def cancelled_meanwhile(_image: ImageInput, _report: ProgressReport) -> ExtractionOutcome:
        manager.cancel_job(job.id, job.user_id)
        return ExtractionOutcome(RESULT, 0.5, {"inputTokens": 7})

    ended = execute(cancelled_meanwhile)
    assert (ended.error_code, ended.token_usage) == ("CANCELLED", {"inputTokens": 7})


def test_a_usage_that_cannot_be_stored_does_not_keep_the_failure_from_being(execute: Execute) -> None:
    ended = execute(raising(PermanentExtractionError("No.", "NO", token_usage={"cost": float("nan")})))
    assert (ended.error_code, ended.token_usage) == ("NO", None)


def test_an_unexpected_error_is_named_by_its_kind_alone(execute: Execute) -> None:
    ended = execute(raising(RuntimeError("api-key-1234")))
    assert (ended.status, ended.error_code) == ("failed", "EXTRACTION_FAILED")
    assert "RuntimeError" in str(ended.error)
    assert "api-key-1234" not in str(ended)


def test_the_providers_wish_sets_the_wait(execute: Execute, engine: Engine, job: ExtractionJob) -> None:
    execute(raising(TransientExtractionError("Slow down.", "PROVIDER_OVERLOADED", retry_after=100)))
    with engine.connect() as connection:
        wait = connection.execute(
            text("SELECT extract(epoch FROM run_after - clock_timestamp()) FROM menu_extraction_jobs")
        ).scalar_one()
    assert 90 < wait <= 100


def test_a_job_that_was_taken_over_is_left_to_the_other_worker(
    execute: Execute, engine: Engine, job: ExtractionJob
) -> None:
    def taken_over(_image: ImageInput, _report: ProgressReport) -> ExtractionOutcome:
        requeue(engine, job.id, 1)
        claimed(engine, job.id, worker="worker-2")
        return ExtractionOutcome(RESULT, 0.5)

    left = execute(taken_over)
    assert (left.status, left.attempt, left.result) == ("processing", 2, None)


def test_a_message_for_no_job_is_dropped(resources: MakeResources, job: ExtractionJob) -> None:
    for unknown in (uuid4(), job.user_id):
        execute_job(resources(raising(AssertionError("executed"))), unknown, "worker-1")


def test_a_message_that_comes_twice_executes_once(execute: Execute) -> None:
    assert execute(returning(ExtractionOutcome(RESULT, 0.5))).status == "completed"
    assert execute(raising(AssertionError("executed again"))).status == "completed"


def test_a_task_without_the_memory_to_begin_does_not_raise_what_celerys_main_process_ends_on(
    monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    def without_memory() -> WorkerResources:
        raise MemoryError

    monkeypatch.setenv("REDIS_URL", redis_url)  # Celery's settings are read when they are first needed
    monkeypatch.setattr(tasks, "worker_resources", without_memory)
    with pytest.raises(AttemptLostError):
        tasks.extract_menu.run(str(uuid4()))
