"""``jobqueue.legacy.ocr_operations``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from jobqueue import (
    InvalidInputError,
    InvalidResultError,
    InvalidStatusError,
    JobNotFoundError,
    JobQueueError,
)
from jobqueue.legacy import ocr_operations
from jobqueue.settings import Settings
from tests.integration.jobs import some_hash
from tests.integration.old_database import (
    ALICE,
    URL,
)


@pytest.fixture
def operations(engine: Engine, settings: Settings) -> Iterator[Any]:
    ocr_operations.use_database(engine, settings=settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield ocr_operations


class TestOldOperations:
    """``jobqueue.legacy.ocr_operations``."""

    def test_submit_get_list_find(self, operations: Any, user_id: UUID, other_user_id: UUID) -> None:
        digest = some_hash()
        job = operations.submit_job(user_id, URL, digest)
        assert operations.submit_job(user_id, URL, digest) == job
        assert operations.get_job(user_id, job.id) == job == operations.find_existing_job(user_id, digest)
        assert operations.get_job(other_user_id, job.id) is None
        assert operations.find_existing_job(user_id, some_hash()) is None
        second = operations.submit_job(str(user_id), URL, some_hash())
        assert operations.get_user_jobs(user_id) == [second, job]
        assert operations.get_user_jobs(user_id, limit=1) == [second]
        assert (job.status, job["status"], job["error_message"]) == ("queued", "queued", None)
        with pytest.raises(KeyError):
            job["confidence"]

    def test_update_writes_old_columns(self, operations: Any, user_id: UUID) -> None:
        job = operations.submit_job(user_id, URL, some_hash())
        assert operations.update_job(job.id, status="processing").status == "processing"
        done = operations.update_job(str(job.id), status="completed", result={"items": []}, processing_time=7)
        assert (done.status, done.result, done.processing_time) == ("completed", {"items": []}, 7)
        assert done.completed_at is not None
        with pytest.raises(InvalidStatusError):
            operations.update_job(job.id, status="queued", completed_at=None)

    @pytest.mark.parametrize(
        ("columns", "error", "says"),
        [
            ({"confidence": 1}, InvalidInputError, "cannot write 'confidence'"),
            ({"user_id": ALICE}, InvalidInputError, "cannot write 'user_id'"),
            ({}, InvalidInputError, "no column"),
            ({"status": "done"}, InvalidInputError, "status must be one of"),
            ({"status": None}, InvalidInputError, "status must be one of"),
            ({"status": "completed"}, InvalidResultError, "needs a result"),
            ({"result": "text"}, InvalidInputError, "result must be a mapping"),
            ({"error_message": "\x00"}, InvalidInputError, "error_message"),
            ({"retry_count": None}, InvalidInputError, "retry_count"),
            ({"processing_time": -1}, InvalidInputError, "processing_time"),
            ({"image_hash": "abc"}, InvalidInputError, "SHA-256"),
        ],
    )
    def test_update_refuses_in_a_sentence(
        self, operations: Any, user_id: UUID, columns: dict[str, Any], error: type[Exception], says: str
    ) -> None:
        job = operations.submit_job(user_id, URL, some_hash())
        with pytest.raises(error, match=says):
            operations.update_job(job.id, **columns)
        assert operations.get_job(user_id, job.id) == job

    def test_update_of_an_unknown_job(self, operations: Any) -> None:
        with pytest.raises(JobNotFoundError):
            operations.update_job(uuid4(), status="failed")

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("submit_job", (ALICE, URL, "0" * 64)),
            ("get_job", (ALICE, ALICE)),
            ("get_user_jobs", (ALICE,)),
            ("find_existing_job", (ALICE, "0" * 64)),
            ("update_job", (ALICE,)),
        ],
    )
    def test_each_call_warns_at_the_line_that_calls_it(self, operations: Any, name: str, arguments: Any) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with suppress(JobQueueError):
                getattr(operations, name)(*arguments)
        (warning,) = [one for one in caught if one.category is DeprecationWarning]
        assert Path(warning.filename) == Path(__file__)
        assert name in str(warning.message)

    def test_without_use_database_the_settings_name_it(
        self, database_url: str, user_id: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", database_url)
        monkeypatch.setattr(ocr_operations, "_opened", [])
        with pytest.warns(DeprecationWarning, match="get_user_jobs"):
            assert ocr_operations.get_user_jobs(user_id) == []
        ocr_operations._opened[0].own_engine.dispose()  # type: ignore[union-attr]
