"""What counts as a picture: judged by content, its cost first, then decoded to the last row."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobqueue.errors import ImageRejectedError
from jobqueue.fetch.file_kind import file_kind
from jobqueue.fetch.jpeg_scans import count_jpeg_scans
from jobqueue.fetch.picture_check import CheckedPicture, check_picture
from tests.sample_pictures import NOT_PICTURES, blank_png, jpeg_with_scans, picture, png, two_picture_jpeg

LIMIT = 1_000_000
SAMPLES = {kind: picture(kind) for kind in ("JPEG", "PNG", "WEBP")}


def refusal(data: bytes, max_pixels: int = LIMIT) -> ImageRejectedError:
    with pytest.raises(ImageRejectedError) as caught:
        check_picture(data, max_pixels)
    return caught.value


@pytest.mark.parametrize(("kind", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")])
def test_the_accepted_formats(kind: str, media_type: str) -> None:
    assert check_picture(SAMPLES[kind], LIMIT) == CheckedPicture(media_type, 64, 48)


def test_a_phones_jpeg_with_a_second_picture_behind_the_first() -> None:
    assert check_picture(two_picture_jpeg(), LIMIT) == CheckedPicture("image/jpeg", 40, 30)


@pytest.mark.parametrize("kind", NOT_PICTURES)
def test_anything_else_is_refused_by_name(kind: str) -> None:
    error = refusal(NOT_PICTURES[kind])
    assert error.message == f"The picture is {kind}; send a JPEG, PNG or WebP."
    assert error.details == {"reason": "unsupported_format"}


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_truncated_picture_is_refused(kind: str) -> None:
    data = SAMPLES[kind]
    for length in (len(data) // 2, len(data) * 3 // 4):
        assert refusal(data[:length]).details == {"reason": "damaged"}


# These hold no rows at all: decoding them first would find them damaged.
@pytest.mark.parametrize("side", [8_000, 10_000, 50_000])
def test_a_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    error = refusal(png(side, side), 50_000_000)
    assert error.details["reason"] == "too_many_pixels"
    assert error.message == "The picture has more than 50 megapixels; send a smaller one."


def test_a_small_file_of_many_megapixels_is_refused() -> None:
    data = blank_png(8_000, 8_000)
    assert len(data) < 100_000
    assert refusal(data, 50_000_000).details["reason"] == "too_many_pixels"


def test_the_pixel_limit_is_exact() -> None:
    assert check_picture(blank_png(1000, 1000), LIMIT).width == 1000
    assert refusal(blank_png(1001, 1000)).details == {"reason": "too_many_pixels", "limit": LIMIT}


def test_a_jpeg_of_countless_scans_is_refused() -> None:
    assert check_picture(jpeg_with_scans(100), LIMIT).media_type == "image/jpeg"
    assert refusal(jpeg_with_scans(101)).details == {"reason": "too_many_scans"}


def test_only_the_scans_of_the_picture_itself_count() -> None:
    comment = b"\xff\xfe" + (2 + 400).to_bytes(2, "big") + b"\xff\xda" * 200
    jpeg = SAMPLES["JPEG"]
    assert count_jpeg_scans(jpeg[:2] + comment + jpeg[2:] + b"\0\0" + b"\xff\xda\0\2" * 200, 100) == 1
    assert count_jpeg_scans(jpeg_with_scans(50), 100) == 50


@pytest.mark.parametrize("kind", NOT_PICTURES)
def test_file_kinds(kind: str) -> None:
    assert file_kind(NOT_PICTURES[kind]) == kind


# Pillow warns about some of the damage it reads over; an application that turns warnings into errors is its own.
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from([*SAMPLES, "MPO"]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=6)), min_size=1, max_size=8),
)
def test_damage_of_any_kind_is_a_refusal_or_still_a_picture(kind: str, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(SAMPLES.get(kind) or two_picture_jpeg())
    for place, replacement in changes:
        at = place % len(data)
        data[at : at + len(replacement)] = replacement
    with suppress(ImageRejectedError):
        check_picture(bytes(data), LIMIT)
