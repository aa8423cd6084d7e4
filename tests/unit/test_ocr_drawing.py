"""What ``jobqueue explain`` draws: every stage in its colour at its place, on the picture as it was read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from jobqueue.extraction import PermanentExtractionError
from tests.unit.ocr_page import listing, read, turned
from worker.extractors.ocr import drawing
from worker.extractors.ocr.drawing import COLUMN_WIDTH, MARGIN, draw
from worker.extractors.ocr.extractor import Seen
from worker.extractors.ocr.layout import understand
from worker.extractors.ocr.legibility import judge
from worker.extractors.ocr.picture import Picture
from worker.extractors.ocr.reading import Reading
from worker.extractors.ocr.result import build_result
from worker.extractors.ocr.text_line import ReadLine

SIDE = 1400
LINES = [
    read("STARTERS", 50, 50, height=34),
    *listing(("Tomato Soup", "4.50"), ("Garlic Bread", "3.90"), ("Green Salad", "5.20"), right=900),
    read("MAINS", 50, 300, height=34),
    *listing(("Roast Chicken", "12.50"), ("Grilled Salmon", "15.90"), ("Lamb Stew", "14.20"), y=350, right=900),
    read("www.example.com", 50, 1300, score=0.5),
]
BLANK = ReadLine("", 0.0, ((1000.0, 700.0), (1300.0, 700.0), (1300.0, 740.0), (1000.0, 740.0)), (), ())


def seen(
    lines: Sequence[ReadLine] = LINES,
    blanks: Sequence[ReadLine] = (),
    side: int = SIDE,
    quarters: int = 0,
    refusal: PermanentExtractionError | None = None,
) -> Seen:
    picture = Picture(np.full((side, side, 3), 255, dtype=np.uint8))
    layout = understand(lines)
    result, confidence = build_result(layout.menu, layout.linked, "stage2")
    reading = Reading(picture, picture, quarters, list(lines), list(blanks))
    return Seen(reading, judge(lines, blanks), layout, result, confidence, refusal)


def shade(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    pixel = image.getpixel((round(x), round(y)))
    assert isinstance(pixel, tuple)
    return pixel


def tint(colour: tuple[int, int, int]) -> tuple[int, ...]:
    """``colour`` as it is laid over white paper."""
    return tuple(round(255 + (part - 255) * 90 / 255) for part in colour)


def near(found: Sequence[int], wanted: Sequence[int]) -> bool:
    return max(abs(one - other) for one, other in zip(found, wanted, strict=True)) <= 3


def test_each_stage_is_drawn_at_its_place() -> None:
    image = draw(seen(blanks=[BLANK]))
    assert near(shade(image, 100, 60), tint(drawing.HEADING))
    assert near(shade(image, 130, 106), tint(drawing.ITEM))
    assert near(shade(image, 890, 106), tint(drawing.PRICE))
    assert near(shade(image, 130, 1306), tint(drawing.SUPERFLUOUS))
    assert shade(image, 100, 88) == drawing.READ  # the outline of a line read
    assert shade(image, 1000, 720) == drawing.UNREAD
    assert shade(image, 500, 100) == drawing.LINK  # half way from a name to its price
    assert drawing.COLUMN in {shade(image, x, y) for x in (49, 50, 51) for y in range(100, 400)}


def test_places_follow_a_tilted_page() -> None:
    bend = turned(6)
    names = ["Tomato Soup", "Garlic Bread", "Green Salad", "Roast Chicken", "Grilled Salmon", "Lamb Stew"]
    lines = [read(name, 100, 200 + 60 * row, bend=bend) for row, name in enumerate(names)]
    lines += [read(f"{row + 4}.50", 900, 200 + 60 * row, bend=bend) for row in range(len(names))]
    image = draw(seen(lines))
    assert near(shade(image, *bend(190, 206)), tint(drawing.ITEM))
    assert near(shade(image, *bend(905, 506)), tint(drawing.PRICE))


def test_the_list_stands_beside_the_picture() -> None:
    image = draw(seen())
    assert image.size == (SIDE + MARGIN + COLUMN_WIDTH, SIDE)
    beside = np.asarray(image)[:, SIDE + MARGIN :]
    assert beside.min() < 60
    for colour, _ in drawing.LEGEND:
        assert (beside == colour).all(axis=2).any()


def test_a_long_list_takes_more_columns_and_not_more_height() -> None:
    rows = [(f"Dish number {row}", f"{row + 1}.50") for row in range(90)]
    image = draw(seen(listing(*rows, y=20, step=30), side=2000))
    assert image.size == (2000 + MARGIN + 2 * COLUMN_WIDTH, 2000)


def test_small_pictures_are_drawn_larger() -> None:
    image = draw(seen([line for line in LINES if line.corners[2][1] < 500], side=700))
    assert image.height == SIDE
    assert near(shade(image, 2 * 130, 2 * 106), tint(drawing.ITEM))


def test_a_refused_and_turned_picture_is_drawn_too() -> None:
    plain = draw(seen([]))
    refused = draw(seen([], quarters=3, refusal=PermanentExtractionError("Nothing to see.", "NO_MENU_FOUND")))
    assert np.asarray(plain).tobytes() != np.asarray(refused).tobytes()
