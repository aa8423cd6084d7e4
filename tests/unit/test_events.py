"""The wire format of an event and its channels."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.events import ALL_JOBS_CHANNEL, JobEvent, progress_channel, user_channel
from jobqueue.states import JobStatus

EVENTS = st.builds(
    JobEvent,
    job_id=st.uuids(),
    user_id=st.uuids(),
    status=st.sampled_from(JobStatus),
    confidence=st.none() | st.floats(0, 1),
    attempt=st.integers(0, 4),
    seq=st.integers(1, 1000),
    cursor=st.integers(1, 2**63 - 1),
    at=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is beside it
)
VALID = {
    "id": "0b9f6d52-6a55-4d0c-9d3c-2f4f0a0f7c11",
    "status": "queued",
    "user_id": "5c1d2a7e-3f44-4a52-8f0d-90a6e8d2b1c3",
    "confidence": None,
    "seq": 1,
    "attempt": 0,
    "cursor": 7,
    "at": "2026-01-02T03:04:05+00:00",
}


@given(EVENTS)
def test_an_event_reads_back_as_it_was_written(event: JobEvent) -> None:
    assert JobEvent.from_json(event.to_json()) == event
    assert JobEvent.from_json(event.to_json().encode()) == event


@given(EVENTS)
def test_the_payload_is_readable_json_with_exactly_the_agreed_fields(event: JobEvent) -> None:
    payload = event.to_json()
    assert payload.isprintable()
    data = json.loads(payload)
    assert list(data) == ["id", "status", "user_id", "confidence", "seq", "attempt", "cursor", "at"]
    assert data["status"] in {"queued", "processing", "completed", "failed"}
    assert datetime.fromisoformat(data["at"]).utcoffset() == UTC.utcoffset(None)


def test_the_channels_carry_the_users_id() -> None:
    user = UUID("12345678-1234-5678-1234-567812345678")
    assert ALL_JOBS_CHANNEL == "menu_extraction_jobs"
    assert user_channel(user) == f"menu_extraction_jobs:{user}"
    assert progress_channel(user) == f"menu_extraction_progress:{user}"


WRONG_VALUES: list[object] = ["nonsense", [], {}]
GARBAGE = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b"42",
    b'"text"',
    b"{",
    b"[" * 200_000,
    *(json.dumps({**VALID, name: value}).encode() for name in VALID for value in WRONG_VALUES),
    *(json.dumps({**VALID, name: None}).encode() for name in VALID if name != "confidence"),
    *(json.dumps({**VALID, name: float("inf")}).encode() for name in ("seq", "attempt", "cursor")),
    *(json.dumps({k: v for k, v in VALID.items() if k != name}).encode() for name in VALID),
]


def test_the_example_of_the_garbage_is_valid_itself() -> None:
    assert JobEvent.from_json(json.dumps(VALID)).cursor == 7


@pytest.mark.parametrize("payload", GARBAGE, ids=lambda payload: repr(payload[:30]))
def test_anything_else_is_refused_as_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of error is the whole contract
        JobEvent.from_json(payload)


def test_an_event_without_a_listener_says_that_it_cannot_load_its_job() -> None:
    with pytest.raises(RuntimeError, match="listener"):
        JobEvent.from_json(json.dumps(VALID)).job()
