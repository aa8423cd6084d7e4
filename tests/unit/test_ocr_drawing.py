"""What ``jobqueue explain`` draws: every stage in its colour at its place, on the picture as it was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

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
from worker.extractors.ocr.second_look import ReadPlaces
from worker.extractors.ocr.text_line import ReadLine

SIDE = 1400
LINES = [
    read("STARTERS", 50, 50, height=34),
    *listing(("Tomato Soup", "4.50"), ("Garlic Bread", "3.90"), ("Green Salad", "5.20"), right=900),
    read("MAINS", 50, 300, height=34),
    *listing(("Roast Chicken", "12.50"), ("Grilled Salmon", "15.90"), ("Lamb Stew", "14.20"), y=350, right=900),
    read("www.example.com", 50, 1300, score=0.5),
]
BLANK = ReadLine("", 0.0, ((1000.0, 700.0), (1100.0, 700.0), (1100.0, 740.0), (1000.0, 740.0)), (), ())


def seen(
    lines: Sequence[ReadLine] = LINES,
    blanks: Sequence[ReadLine] = (),
    side: int = SIDE,
    quarters: int = 0,
    refusal: PermanentExtractionError | None = None,
    paper: tuple[int, int, int] = (255, 255, 255),
    read_places: ReadPlaces | None = None,
) -> Seen:
    """``paper`` is in blue, green, red."""
    picture = Picture(np.full((side, side, 3), paper, dtype=np.uint8))
    legible = judge(lines, blanks)
    layout = understand(legible.lines, read_places)
    result, confidence = build_result(layout.menu, layout.linked, "stage2")
    reading = Reading(picture, picture, quarters, list(lines), list(blanks))
    return Seen(reading, legible, layout, result, confidence, refusal)


def shade(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    pixel = image.getpixel((round(x), round(y)))
    assert isinstance(pixel, tuple)
    return pixel


def tint(*colours: tuple[int, int, int]) -> tuple[int, ...]:
    """``colours`` as they are laid over white paper, one after the other."""
    laid: tuple[int, ...] = (255, 255, 255)
    for colour in colours:
        laid = tuple(round(under + (part - under) * 90 / 255) for under, part in zip(laid, colour, strict=True))
    return laid


def pixels_of(
    image: Image.Image, colour: tuple[int, int, int], left: float, top: float, right: float, bottom: float
) -> int:
    part = np.asarray(image)[round(top) : round(bottom), round(left) : round(right)]
    return int((part == colour).all(axis=2).sum())


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


def test_the_picture_shows_through_in_its_own_colours_but_paler() -> None:
    assert near(shade(draw(seen(paper=(255, 0, 100))), 700, 900), (154, 89, 255))


def test_what_is_uncertain_is_drawn_as_such() -> None:
    lines = [line for line in LINES if line.text != "5.20"]  # so that Green Salad has no price
    image = draw(seen([*lines, read("7.70", 600, 700)]))
    assert near(shade(image, 118, 186), tint(drawing.UNCERTAIN))
    assert near(shade(image, 612, 708), tint(drawing.PRICE, drawing.UNCERTAIN))


def test_a_description_is_told_from_its_name() -> None:
    image = draw(seen([*LINES, read("with herbs, butter and salt", 50, 454, height=18)]))
    assert near(shade(image, 80, 459), tint(drawing.DESCRIPTION))


def test_the_rows_of_the_page_are_drawn_from_the_first_line_to_the_last() -> None:
    image = draw(seen())
    assert shade(image, 700, 50) == shade(image, 700, 1300) == drawing.SLOPE


def test_a_price_of_the_second_look_is_told_from_the_others() -> None:
    page = listing(("Lentil Pot", "8"), ("Turnip Mash", ""), ("Fried Perch", "9"), ("Nut Roast", "12"))
    image = draw(seen(page, read_places=lambda places: [("7", 0.99) for _ in places]))
    assert pixels_of(image, drawing.SECOND_LOOK, 560, 115, 630, 165) > 60
    assert pixels_of(image, drawing.SECOND_LOOK, 560, 165, 630, 300) == 0


def test_a_faint_line_has_its_score_and_a_thicker_outline(written: Written) -> None:
    image, texts = written(seen())
    assert "0.50" in texts
    assert "0.98" not in texts
    assert pixels_of(image, drawing.READ, 100, 1286, 101, 1293) == 2
    assert pixels_of(image, drawing.READ, 100, 336, 101, 343) == 1


def test_a_line_in_a_strange_script_is_drawn_as_unread() -> None:
    image = draw(seen([*LINES, read("Mουσακ σπιτικ", 50, 700)]))
    assert shade(image, 100, 688) == drawing.UNREAD


def test_dishes_and_columns_are_numbered(written: Written) -> None:
    image, texts = written(seen())
    assert {"1", "6", "column 1"} <= set(texts)
    assert pixels_of(image, drawing.ITEM, 38, 92, 49, 109) > 20
    assert pixels_of(image, drawing.COLUMN, 50, 0, 120, 50) > 200


def test_a_link_to_a_price_on_the_left_does_not_cross_the_name() -> None:
    page = []
    for row, name in enumerate(("Tomato Soup", "Garlic Bread", "Green Salad", "Lamb Stew")):
        page += [read(f"1{row}.50", 50, 100 + 40 * row), read(name, 125, 100 + 40 * row)]
    image = draw(seen(page))
    assert shade(image, 112, 140) == drawing.LINK
    assert shade(image, 210, 140) != drawing.LINK


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


Written = Callable[[Seen], tuple[Image.Image, list[str]]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """Draws, and says what was written: a line of the list may be written in several."""
    write = ImageDraw.ImageDraw.text

    def drawn(what: Seen) -> tuple[Image.Image, list[str]]:
        texts: list[str] = []

        def noted(pen: ImageDraw.ImageDraw, place: Any, text: str, *how: Any, **more: Any) -> None:
            texts.append(text)
            write(pen, place, text, *how, **more)

        monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
        return draw(what), texts

    return drawn


def test_the_list_says_what_was_found(written: Written) -> None:
    page = [line for line in LINES if line.text != "5.20"]
    found = seen([*page, *listing(("Whole Crab", "market price"), y=700, right=900)])
    listed = " ".join(written(found)[1])
    sure = found.result["menu"]["categories"][0]["items"][1]["confidence"]
    assert f"2  Garlic Bread  3.90  ({sure:.2f})" in listed
    assert "6  Whole Crab  ?  (" in listed
    assert "Green Salad: It looks like a dish, but no price was found for it." in listed
    assert "Superfluous www.example.com: contact" in listed


def test_the_list_says_how_the_page_lies(written: Written) -> None:
    bend = turned(6)
    lines = [read(f"A dish of the day, number {row}", 100, 200 + 60 * row, bend=bend) for row in range(6)]
    assert "tilted by 6.0 degrees" in " ".join(written(seen(lines))[1])
    assert "turned by 270 degrees counter-clockwise" in " ".join(written(seen(quarters=3))[1])
    assert "turned by" not in " ".join(written(seen())[1])


def test_a_refusal_is_listed_first_and_marked_once(written: Written) -> None:
    refusal = PermanentExtractionError("Nothing to see. " * 9, "NO_MENU_FOUND")
    image, texts = written(seen([], refusal=refusal))
    assert "NO_MENU_FOUND: Nothing to see." in " ".join(texts)
    assert pixels_of(image, drawing.UNREAD, SIDE, 0, image.width, image.height) == 2 * 13 * 13  # and in the legend
    assert pixels_of(image, (255, 255, 255), image.width - MARGIN, 0, image.width, image.height) == MARGIN * SIDE


def test_letters_that_the_typeface_lacks_are_replaced() -> None:
    def listed(name: str) -> bytes:
        return draw(seen(listing((name, "4.50"), ("Green Salad", "5.20")))).tobytes()

    assert listed("Bun bở") == listed("Bun bo")
    assert listed("Bun 茶") == listed("Bun ?")
