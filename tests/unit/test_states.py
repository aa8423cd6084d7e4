"""The four states."""

from __future__ import annotations

import json

import pytest

from jobqueue import JobStatus
from jobqueue.states import ACTIVE, FINISHED


def test_there_are_exactly_the_four_states() -> None:
    assert [status.value for status in JobStatus] == ["queued", "processing", "completed", "failed"]


def test_a_status_is_its_text() -> None:
    assert json.dumps({"status": JobStatus.QUEUED}) == '{"status": "queued"}'
    assert f"{JobStatus.FAILED}" == "failed"


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_job_is_either_active_or_finished(status: JobStatus) -> None:
    assert status.is_finished is (status in ("completed", "failed"))
    assert status.is_active is not status.is_finished
    assert (status in FINISHED, status in ACTIVE) == (status.is_finished, status.is_active)
