"""Lines that the engine reads with doubt are read again by it, smoothed; the better reading counts."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from jobqueue.demo.make_menus import FOLDER
from jobqueue.demo.typesetting import Type, draw_text
from tests.sample_pictures import encoded
from tests.unit.ocr_page import read
from worker.extractors.ocr.engine import FoundText, find_text, recognise
from worker.extractors.ocr.faint_lines import SURE, read_faint_lines_again
from worker.extractors.ocr.leaders import erase_leaders
from worker.extractors.ocr.picture import decode_picture
from worker.extractors.ocr.reading import read_picture
from worker.extractors.ocr.text_line import ReadLine

TEXT = "Shepherds Pie"


@pytest.fixture(scope="module")
def dark() -> FoundText:
    """A line in the dark, with the blocks of a strongly compressed JPEG around its letters."""
    strip = Image.new("RGB", (132, 24), (47, 47, 47))
    draw_text(strip, 6, 17, TEXT, Type(16, (20, 20, 20)))
    return found(Image.open(io.BytesIO(encoded(strip, "JPEG", quality=40))).convert("RGB"))


def found(strip: Image.Image) -> FoundText:
    corners = ((0.0, 0.0), (strip.width, 0.0), (strip.width, strip.height), (0.0, strip.height))
    return FoundText(np.array(strip), corners)


def line(text: str, score: float) -> ReadLine:
    return read(text, 0, 12, score=score)


def test_smoothed_it_is_read_better_where_the_blocks_look_like_strokes(dark: FoundText) -> None:
    (as_it_is,) = recognise([dark])
    (again,) = read_faint_lines_again([dark], [line("Shiepherds Pie", 0.89)])
    assert again.text == TEXT
    assert again.score > as_it_is.score


def test_what_was_read_surely_stays(dark: FoundText) -> None:
    sure = line("Apple Pie", 0.9)
    assert read_faint_lines_again([dark], [sure]) == [sure]


def test_a_worse_second_reading_does_not_count() -> None:
    faint = line("Apple Pie", 0.4)
    assert read_faint_lines_again([found(Image.new("RGB", (132, 24), "white"))], [faint]) == [faint]


def test_each_line_keeps_its_place(dark: FoundText) -> None:
    page = [line("Fries", 0.99), line("Sh", 0.2), line("Soup", 0.95), line("Pie", 0.3)]
    assert [one.text for one in read_faint_lines_again([dark] * 4, page)] == ["Fries", TEXT, "Soup", TEXT]


def test_a_picture_in_the_dark_is_read_better_than_at_first_sight() -> None:
    menu = Image.open(FOLDER / "tilted_photo.jpg").convert("RGB")
    small = menu.resize((menu.width // 2, menu.height // 2), Image.Resampling.LANCZOS)
    data = encoded(small.point(lambda value: int(value * 0.12)), "JPEG", quality=50)

    def scores(lines: Sequence[ReadLine]) -> dict[object, float]:
        return {one.corners: one.score for one in lines}

    once = scores(recognise(find_text(erase_leaders(decode_picture(data)))))
    reading = read_picture(data, lambda _stage, _fraction: None)
    both = scores([*reading.lines, *reading.blanks])
    faint = [place for place, score in once.items() if score < SURE]
    assert any(both[place] > once[place] for place in faint)
    assert sum(both[place] for place in faint) > sum(once[place] for place in faint)
