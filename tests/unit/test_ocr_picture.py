"""Pictures of every kind are decoded upright and of a workable size, or refused in words."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from jobqueue.extraction import PermanentExtractionError
from tests.sample_pictures import encoded, png
from worker.extractors.ocr.leaders import erase_leaders
from worker.extractors.ocr.picture import LONGEST_SIDE, SHORTEST_SIDE, Picture, decode_picture

RED, BLUE = (250, 10, 10), (10, 10, 250)


def half_red(mode: str = "RGB") -> Image.Image:
    """Red above, blue below."""
    image = Image.new("RGB", (200, 120), BLUE)
    image.paste(RED, (0, 0, 200, 60))
    return image.convert(mode)


def colour(picture: Picture, x: int, y: int) -> str:
    blue, green, red = (int(value) for value in picture.pixels[y, x])
    return "red" if red > 2 * max(blue, green) else "blue" if blue > 2 * max(red, green) else "other"


@pytest.mark.parametrize(
    "data",
    [
        encoded(half_red(), "JPEG"),
        encoded(half_red("CMYK"), "JPEG"),
        encoded(half_red("P"), "PNG"),
        encoded(half_red(), "WEBP"),
        encoded(half_red(), "WEBP", save_all=True, append_images=[Image.new("RGB", (200, 120), BLUE)]),
    ],
    ids=["jpeg", "cmyk", "palette", "webp", "animated webp"],
)
def test_every_kind_keeps_its_colours(data: bytes) -> None:
    picture = decode_picture(data)
    assert (picture.width, picture.height) == (200, 120)
    assert (colour(picture, 100, 20), colour(picture, 100, 100)) == ("red", "blue")


CORNERS = {"red": (0, 0), "blue": (150, 0), "green": (0, 70)}  # the top left one of each


def as_stored(tag: int) -> Image.Image:
    """How a camera that writes ``tag`` stores the upright picture, which has ``CORNERS`` and is white elsewhere."""
    upright = Image.new("RGB", (200, 120), "white")
    for name, (x, y) in CORNERS.items():
        upright.paste({"red": RED, "blue": BLUE, "green": (10, 200, 10)}[name], (x, y, x + 50, y + 50))
    methods = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return upright.transpose(methods[tag]) if tag in methods else upright


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_exif_turns_the_picture_upright(tag: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    picture = decode_picture(encoded(as_stored(tag), kind, exif=exif))
    assert (picture.width, picture.height) == (200, 120)
    blue, green, red = (
        picture.pixels[y + 25, x + 25].argmax() for x, y in (CORNERS["blue"], CORNERS["green"], CORNERS["red"])
    )
    assert (blue, green, red) == (0, 1, 2)
    assert picture.pixels[95, 175].min() > 230


@pytest.mark.parametrize("form", ["JPEG", "MPO"])
def test_large_jpegs_are_scaled_while_they_are_decoded(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    upright = ImageOps.exif_transpose

    def noted(image: Image.Image) -> Image.Image:
        sizes.append(image.size)
        return upright(image)

    monkeypatch.setattr(ImageOps, "exif_transpose", noted)
    picture = decode_picture(encoded(Image.new("RGB", (4032, 3024), RED), form))
    assert sizes == [(2016, 1512)]
    assert (picture.width, picture.height) == (LONGEST_SIDE, 1500)


@pytest.mark.parametrize("tag", [0, 9, 255])
def test_an_exif_tag_without_meaning_turns_nothing(tag: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    picture = decode_picture(encoded(half_red(), "JPEG", exif=exif))
    assert (colour(picture, 100, 20), colour(picture, 100, 100)) == ("red", "blue")


def test_transparency_shows_white_paper() -> None:
    image = Image.new("RGBA", (200, 120), (0, 0, 0, 0))
    palette = encoded(image.quantize(8), "PNG", transparency=0)
    for data in (encoded(image, "PNG"), palette):
        assert decode_picture(data).pixels.min() == 255


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.linspace(0, 65535, 200 * 120).reshape(120, 200).astype(np.uint16)
    picture = decode_picture(encoded(Image.fromarray(values), "PNG"))
    assert picture.pixels[0, 0, 0] == 0
    assert 100 < picture.pixels[60, 100, 0] < 155


def test_sixteen_bits_of_one_shade_are_a_picture_too() -> None:
    picture = decode_picture(encoded(Image.fromarray(np.full((120, 200), 40_000, dtype=np.uint16)), "PNG"))
    assert (picture.width, picture.height) == (200, 120)


def test_a_picture_as_thin_as_a_thread_keeps_a_row() -> None:
    assert decode_picture(encoded(Image.new("L", (9000, 1)), "PNG")).width == LONGEST_SIDE


def test_size_is_bounded_on_both_ends() -> None:
    large = decode_picture(encoded(Image.new("RGB", (5000, 2500)), "JPEG"))
    assert max(large.width, large.height) <= LONGEST_SIDE
    assert large.width == pytest.approx(2 * large.height, abs=2)
    tiny = decode_picture(encoded(Image.new("L", (10, 10), 200), "PNG"))
    assert (tiny.width, tiny.height) == (SHORTEST_SIDE, SHORTEST_SIDE)
    assert (tiny.pixels == 200).all()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%PDF-1.7",
        encoded(half_red(), "JPEG")[:400],
        encoded(half_red(), "GIF"),
        b"\x89PNG\r\n\x1a\n",
        png(20_000, 20_000),
    ],
)
def test_what_is_no_picture_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(PermanentExtractionError, match="JPEG, PNG or WebP") as refused:
        decode_picture(data)
    assert refused.value.code == "IMAGE_REJECTED"


def drawn_leader(dots: int, step: int = 12) -> Picture:
    image = Image.new("RGB", (900, 120), (245, 240, 230))
    pen = ImageDraw.Draw(image)
    for index in range(12):  # letters, so that the size of text is known
        pen.rectangle((20 + 18 * index, 40, 23 + 18 * index, 60), fill=(30, 30, 30))
    for index in range(dots):
        pen.ellipse((300 + step * index, 56, 303 + step * index, 59), fill=(60, 60, 60))
    return Picture(np.asarray(image)[:, :, ::-1].copy())


def test_leader_dots_are_erased_and_letters_stay() -> None:
    picture = drawn_leader(30)
    erased = erase_leaders(picture)
    assert erased.pixels[50:65, 295:700].min() > 200
    assert (erased.pixels[:, :280] == picture.pixels[:, :280]).all()


def dotted(*places: tuple[int, int, int]) -> Picture:
    """Letters, and dots of the given size with their top left corners at the given places."""
    image = Image.fromarray(drawn_leader(0).pixels)
    for x, y, size in places:
        ImageDraw.Draw(image).ellipse((x, y, x + size, y + size), fill=(60, 60, 60))
    return Picture(np.asarray(image))


@pytest.mark.parametrize(
    "places",
    [
        [(300 + 19 * index - 11 * (index % 2), 56, 3) for index in range(12)],
        [(300 + 12 * index, 30 + 7 * index, 3) for index in range(12)],
        [(300 + 24 * index, 50, 14) for index in range(12)],
    ],
    ids=["uneven steps", "down the page", "as large as letters"],
)
def test_dots_that_are_no_leader_stay(places: list[tuple[int, int, int]]) -> None:
    picture = dotted(*places)
    assert erase_leaders(picture) is picture


def test_a_few_dots_are_an_ellipsis_and_stay() -> None:
    picture = drawn_leader(3)
    assert erase_leaders(picture) is picture


def test_the_decimal_point_behind_a_leader_stays() -> None:
    picture = drawn_leader(30)
    image = Image.fromarray(picture.pixels)
    ImageDraw.Draw(image).ellipse((676, 56, 679, 59), fill=(60, 60, 60))  # two steps behind the last dot
    picture = Picture(np.asarray(image))
    erased = erase_leaders(picture)
    assert erased.pixels[50:65, 295:655].min() > 200
    assert (erased.pixels[50:65, 670:690] == picture.pixels[50:65, 670:690]).all()


def darkened(picture: Picture, light: float) -> Picture:
    return Picture((picture.pixels * light).astype(np.uint8))


def test_in_the_dark_leaders_are_erased_too() -> None:
    picture = darkened(drawn_leader(30), 0.13)
    paper = int(picture.pixels[5, 5].max())
    assert picture.pixels[50:65, 295:655].min() < 0.5 * paper
    assert erase_leaders(picture).pixels[50:65, 295:655].min() > 0.8 * paper


def test_where_dots_cannot_be_told_from_the_grain_all_stays() -> None:
    picture = darkened(drawn_leader(30), 0.1)
    assert erase_leaders(picture) is picture


def test_dots_whose_rims_run_together_are_erased() -> None:
    image = Image.fromarray(dotted(*[(300 + 8 * index, 56, 4) for index in range(35)]).pixels)
    blurred = Picture(np.asarray(image.filter(ImageFilter.GaussianBlur(1.3))))
    assert blurred.pixels[50:65, 310:560].min() < 180
    assert erase_leaders(blurred).pixels[50:65, 310:560].min() > 200


def test_dots_much_paler_than_the_letters_are_erased() -> None:
    pale = drawn_leader(30).pixels.copy()
    pale[80:101] = pale[40:61]  # a second line of letters, so that they and not the dots are the contrast
    pale[50:65, 295:700] = np.maximum(pale[50:65, 295:700], 165)
    pale[80:101, 295:700] = pale[5, 5]
    assert erase_leaders(Picture(pale)).pixels[50:65, 295:700].min() > 200
