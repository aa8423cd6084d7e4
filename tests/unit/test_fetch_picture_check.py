"""What counts as a picture: judged by content, its cost first, then decoded to the last row."""

from __future__ import annotations

import io
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from jobqueue.errors import ImageRejectedError
from jobqueue.fetch.file_kind import file_kind
from jobqueue.fetch.jpeg_scans import count_jpeg_scans
from jobqueue.fetch.picture_check import CheckedPicture, check_picture
from tests.sample_pictures import (
    NOT_PICTURES,
    blank_png,
    chunk,
    jpeg_with_scans,
    picture,
    png,
    two_picture_jpeg,
    with_chunks,
)

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


JPEG = SAMPLES["JPEG"]
ENDLESS: dict[str, Callable[[int], bytes]] = {
    "chunks that mean nothing": lambda number: with_chunks(chunk(b"prPr", b"") * number),
    "texts": lambda number: with_chunks(chunk(b"tEXt", b"a\0b") * number),
    "rows of nothing": lambda number: SAMPLES["PNG"][:-12] + chunk(b"IDAT", b"") * number + SAMPLES["PNG"][-12:],
    "comments": lambda number: JPEG[:2] + b"\xff\xfe\0\2" * number + JPEG[2:],
    "application data": lambda number: JPEG[:2] + b"\xff\xe1\0\2" * number + JPEG[2:],
    "fill bytes": lambda number: JPEG[:2] + b"\xff" * number + JPEG[2:],
    "stuffed bytes": lambda number: JPEG[:2] + b"\xff\0" * number + JPEG[2:],
    "markers without a length": lambda number: JPEG[:2] + b"\xff\xd0" * number + JPEG[2:],
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_picture_of_countless_parts_is_refused(kind: str) -> None:
    assert check_picture(ENDLESS[kind](9_000), LIMIT).width == 64
    began = time.process_time()
    assert refusal(ENDLESS[kind](1_000_000)).details == {"reason": "too_many_parts"}
    assert time.process_time() - began < 1


def test_a_naive_reader_keeps_every_part() -> None:
    with Image.open(io.BytesIO(ENDLESS["application data"](100_000))) as image:
        assert len(image.applist) > 100_000  # type: ignore[attr-defined]


def test_countless_segments_behind_the_first_scan_are_not_counted_to_their_end() -> None:
    began = time.process_time()
    assert count_jpeg_scans(JPEG[:-2] + b"\xff\xfe\0\2" * 1_000_000 + b"\xff\xd9", 100) == 101
    assert time.process_time() - began < 1


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_inside_a_chunk_is_not_inflated(kind: bytes) -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    data = with_chunks(chunk(kind, (b"a\0\1\0\0\0" if kind == b"iTXt" else b"a\0\0") + bomb))
    tracemalloc.start()
    try:
        assert refusal(data).details == {"reason": "damaged"}
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert len(zlib.decompress(bomb)) == 50_000_000


def test_a_naive_reader_takes_the_bombs_and_the_halves() -> None:
    with Image.open(io.BytesIO(blank_png(4_000, 4_000))) as bomb:
        bomb.load()
    with Image.open(io.BytesIO(SAMPLES["JPEG"][:-200])) as half:
        assert half.size == (64, 48)
    with Image.open(io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")) as program:
        assert program.format == "EPS"  # which it would hand to an interpreter


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "I;16"), ("PNG", "RGBA"), ("PNG", "1")]
)
def test_the_less_usual_colours_are_pictures_too(kind: str, mode: str) -> None:
    stored = io.BytesIO()
    Image.new(mode, (64, 48)).save(stored, kind)
    assert check_picture(stored.getvalue(), LIMIT).width == 64


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture_counts(kind: str) -> None:
    stored = io.BytesIO()
    frames = [Image.new("RGB", (64, 48), (shade, 0, 0)) for shade in range(30)]
    frames[0].save(stored, kind, save_all=True, append_images=frames[1:])
    assert check_picture(stored.getvalue(), 64 * 48).width == 64


def test_no_more_than_four_pictures_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    load = ImageFile.ImageFile.load
    five = threading.Barrier(5)

    def met(image: ImageFile.ImageFile) -> object:
        five.wait(1)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", met)

    def check() -> None:
        with pytest.raises(ImageRejectedError):  # a broken barrier's: a fifth could not reach it meanwhile
            check_picture(SAMPLES["PNG"], LIMIT)

    with ThreadPoolExecutor(5) as threads:
        for one in [threads.submit(check) for _ in range(5)]:
            one.result()
