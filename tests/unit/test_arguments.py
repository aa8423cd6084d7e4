"""What callers pass in is checked once, and refused with one sentence that names the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.arguments import (
    checked_cursor,
    checked_image_hash,
    checked_image_url,
    checked_limit,
    checked_prompt_version,
    checked_seconds,
    checked_status,
    checked_uuid,
)
from jobqueue.errors import InvalidInputError
from jobqueue.menu_result import check_schema_version
from jobqueue.states import JobStatus

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers()), st.uuids()
)


def refused(check: Callable[[Any], Any], value: Any) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        check(value)
    message = caught.value.message
    assert "\n" not in message
    assert message.endswith(".")
    assert caught.value.details["argument"] in message.replace("schema version", "schema_version")
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/menu.png",
        "https://example.com",
        "HTTPS://EXAMPLE.COM/Menu.PNG?size=1#top",
        "https://user:password@example.com:8443/a%20b.jpg",
        "http://127.0.0.1:8000/x",
        "http://[::1]/x",
        "https://bücher.example/menü.webp",
        "https://example.com/" + "a" * 2028,
    ],
)
def test_web_addresses_are_taken_as_they_are(url: str) -> None:
    assert checked_image_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        b"https://example.com/x",
        "",
        "menu.png",
        "/menu.png",
        "//example.com/menu.png",
        "https:///menu.png",
        "https://",
        "http:example.com",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "gopher://example.com",
        "http://[::1/x",
        "http://exa mple.com/",
        " https://example.com/x",
        "https://example.com/x\n",
        "https://example.com/\x00",
        "https://example.com/\x7f",
        "https://example.com/\ud800",
        "https://example.com/" + "a" * 2029,
        42,
        ["https://example.com"],
    ],
    ids=repr,
)
def test_everything_else_is_refused_as_an_address(url: Any) -> None:
    refused(checked_image_url, url)


@pytest.mark.parametrize("digits", ["ab" * 32, "AB" * 32, "0" * 64])
def test_a_hash_is_64_hexadecimal_digits_in_lower_case(digits: str) -> None:
    assert checked_image_hash(digits) == digits.lower()


@pytest.mark.parametrize(
    "value", ["", "a" * 63, "a" * 65, "g" * 64, " " + "a" * 63, "a" * 64 + "\n", "٠" * 64, b"a" * 64, 0, None]
)
def test_a_wrong_hash_is_refused(value: Any) -> None:
    refused(checked_image_hash, value)


def test_uuids_are_taken_as_objects_and_as_text() -> None:
    value = uuid4()
    assert checked_uuid(value, "user_id") is value
    assert checked_uuid(str(value), "user_id") == value
    assert checked_uuid(str(value).upper(), "user_id") == value


@pytest.mark.parametrize(
    "value", ["", "not-a-uuid", "1" * 31, "'; drop table x; --", "0" * 5000, 5, None, b"x" * 16, "\x00"]
)
def test_a_malformed_uuid_is_refused_by_the_arguments_name(value: Any) -> None:
    error = refused(lambda given: checked_uuid(given, "job_id"), value)
    assert error.message == "job_id is not a UUID."


@pytest.mark.parametrize("value", ["v1.0", "x", "Prüfung 2", "a" * 50])
def test_a_prompt_version_is_short_printable_text(value: str) -> None:
    assert checked_prompt_version(value) == value


@pytest.mark.parametrize("value", ["", "a" * 51, "a\x00", "a\nb", None, 1, "\ud800"], ids=repr)
def test_a_wrong_prompt_version_is_refused(value: Any) -> None:
    refused(checked_prompt_version, value)


@pytest.mark.parametrize("value", ["stage1", "stage2"])
def test_known_schema_versions(value: str) -> None:
    assert check_schema_version(value) == value


@pytest.mark.parametrize("value", ["", "stage3", "STAGE1", None, 1, ["stage1"]])
def test_an_unknown_schema_version_is_refused(value: Any) -> None:
    refused(check_schema_version, value)


@pytest.mark.parametrize("value", [1, 20, 1000])
def test_a_page_has_1_to_1000_jobs(value: int) -> None:
    assert checked_limit(value) == value


@pytest.mark.parametrize("value", [0, -1, 1001, True, 1.0, "20", None])
def test_a_wrong_page_size_is_refused(value: Any) -> None:
    refused(checked_limit, value)


@pytest.mark.parametrize("value", [0, 1, 2.5, 10**9])
def test_seconds_are_numbers_from_zero(value: float) -> None:
    assert checked_seconds(value, "timeout") == value


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "5", None])
def test_wrong_seconds_are_refused(value: Any) -> None:
    refused(lambda given: checked_seconds(given, "timeout"), value)


@pytest.mark.parametrize("value", [None, 0, 1, 2**63 - 1])
def test_a_cursor_is_what_postgres_can_hold(value: int | None) -> None:
    assert checked_cursor(value) == value


@pytest.mark.parametrize("value", [-1, 2**63, True, 1.0, "1"])
def test_a_wrong_cursor_is_refused(value: Any) -> None:
    refused(checked_cursor, value)


@pytest.mark.parametrize("value", ["queued", JobStatus.FAILED])
def test_a_status_by_name_or_value(value: Any) -> None:
    assert checked_status(value) == value


@pytest.mark.parametrize("value", ["", "QUEUED", "cancelled", None, 1, []], ids=repr)
def test_an_unknown_status_is_refused(value: Any) -> None:
    error = refused(checked_status, value)
    assert "queued, processing, completed, failed" in error.message


@given(ANYTHING)
def test_no_value_whatever_leads_to_another_kind_of_error(value: Any) -> None:
    for check in (
        checked_image_url,
        checked_image_hash,
        checked_prompt_version,
        check_schema_version,
        checked_limit,
        checked_cursor,
        checked_status,
        lambda given: checked_seconds(given, "timeout"),
        lambda given: checked_uuid(given, "user_id"),
    ):
        try:
            check(value)
        except InvalidInputError:
            continue


@given(st.uuids())
def test_every_uuid_reads_back(value: UUID) -> None:
    assert checked_uuid(str(value), "user_id") == value
