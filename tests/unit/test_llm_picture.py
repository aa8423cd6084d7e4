"""What a model is shown: the original where every provider takes it, else a JPEG that every provider takes."""

from __future__ import annotations

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageOps

from jobqueue.extraction import ImageInput, PermanentExtractionError
from tests.sample_pictures import encoded, png
from worker.extractors.llm.picture import LARGEST_BYTES, LONGEST_SIDE, picture_to_send


def given(data: bytes) -> ImageInput:
    return ImageInput(data, "image/as-given", "", "https://x.example/m", 0, 0)


def sent(data: bytes) -> Image.Image:
    """The picture as it is sent, which is not the original."""
    written, media_type = picture_to_send(given(data))
    assert media_type == "image/jpeg"
    assert len(written) <= LARGEST_BYTES
    image = Image.open(io.BytesIO(written))
    assert image.format == "JPEG"
    return image


def turned_by_exif(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, "JPEG", exif=exif)


def noise(width: int, height: int) -> Image.Image:
    """What no encoder can make small."""
    return Image.frombytes("RGB", (width, height), os.urandom(3 * width * height))


def test_a_picture_that_every_provider_takes_is_sent_as_it_is() -> None:
    data = encoded(Image.new("RGB", (LONGEST_SIDE, 100), "white"), "PNG")
    assert picture_to_send(given(data)) == (data, "image/as-given")


def test_a_picture_that_lies_on_its_side_is_sent_upright() -> None:
    assert sent(turned_by_exif(Image.new("RGB", (200, 120), "white"))).size == (120, 200)


def test_a_picture_of_too_many_pixels_is_sent_smaller() -> None:
    assert sent(encoded(Image.new("RGB", (LONGEST_SIDE + 40, 260), "white"), "PNG")).size == (LONGEST_SIDE, 256)


def test_a_picture_of_too_many_bytes_is_sent_in_fewer() -> None:
    data = encoded(noise(1200, 1100), "PNG", compress_level=0)
    assert len(data) > LARGEST_BYTES
    assert sent(data).size == (1200, 1100)


def test_what_is_still_too_large_is_sent_in_a_lower_quality() -> None:
    noisy = noise(2400, 2000)
    assert len(encoded(noisy, "JPEG", quality=90)) > LARGEST_BYTES
    assert sent(encoded(noisy, "JPEG", quality=95)).size == (2400, 2000)


def test_transparency_shows_white_paper() -> None:
    image = Image.new("RGBA", (LONGEST_SIDE + 1, 100), (0, 0, 0, 0))
    assert sent(encoded(image, "PNG")).getpixel((50, 50)) == (255, 255, 255)


def test_what_is_no_picture_is_refused_in_words() -> None:
    large = encoded(Image.new("RGB", (LONGEST_SIDE + 40, 260), "white"), "PNG")
    for data in (b"", b"%PDF-1.7", large[:-40], png(20_000, 20_000)):
        with pytest.raises(PermanentExtractionError, match="JPEG, PNG or WebP") as refused:
            picture_to_send(given(data))
        assert refused.value.code == "IMAGE_REJECTED"


def test_no_more_than_two_pictures_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    upright = ImageOps.exif_transpose
    three = threading.Barrier(3)

    def met(image: Image.Image) -> Image.Image:
        three.wait(1)
        return upright(image)

    monkeypatch.setattr(ImageOps, "exif_transpose", met)
    data = turned_by_exif(Image.new("RGB", (200, 120), "white"))

    def send() -> None:
        with pytest.raises(threading.BrokenBarrierError):  # which a third could not reach meanwhile
            picture_to_send(given(data))

    with ThreadPoolExecutor(3) as threads:
        for one in [threads.submit(send) for _ in range(3)]:
            one.result()


@pytest.mark.parametrize("form", ["JPEG", "MPO"])
def test_a_large_jpeg_is_scaled_while_it_is_decoded(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    upright = ImageOps.exif_transpose

    def noted(image: Image.Image) -> Image.Image:
        sizes.append(image.size)
        return upright(image)

    monkeypatch.setattr(ImageOps, "exif_transpose", noted)
    assert sent(encoded(Image.new("RGB", (6000, 5200), "white"), form)).size == (2560, 2219)
    assert sizes == [(3000, 2600)]
