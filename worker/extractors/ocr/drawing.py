"""Draws onto the picture of a page what each stage made of it, with a legend and the menu beside it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from worker.extractors.ocr.confidence import item_confidence, page_regularity, usual_name_height
from worker.extractors.ocr.extractor import Seen
from worker.extractors.ocr.link import Row
from worker.extractors.ocr.pieces import PricePiece, TextPiece
from worker.extractors.ocr.text_line import Point, ReadLine

SHORTEST_LONG_SIDE = 1400
"""Smaller pictures are drawn larger, so that boxes and numbers do not hide the text."""
FAINT = 0.9
"""Scores below this are written beside their box."""
LEVEL_LINES = 14
COLUMN_WIDTH = 430
TEXT_SIZE = 15
LINE_STEP = 20
MARGIN = 14

Colour = tuple[int, int, int]
READ: Colour = (40, 110, 220)
UNREAD: Colour = (215, 25, 25)
SECOND_LOOK: Colour = (0, 150, 160)
SLOPE: Colour = (120, 165, 165)
PRICE: Colour = (20, 150, 50)
LINK: Colour = (0, 95, 30)
COLUMN: Colour = (150, 85, 20)
HEADING: Colour = (150, 40, 170)
ITEM: Colour = (40, 110, 220)
DESCRIPTION: Colour = (130, 180, 235)
UNCERTAIN: Colour = (240, 130, 0)
SUPERFLUOUS: Colour = (150, 130, 0)
INK: Colour = (25, 25, 25)

LEGEND: tuple[tuple[Colour, str], ...] = (
    (READ, f"recognise: a line read, with its score below {FAINT}"),
    (UNREAD, "recognise: text that could not be read"),
    (SECOND_LOOK, "recognise: a price found by the second look"),
    (SLOPE, "straighten: rows of the page"),
    (PRICE, "prices"),
    (LINK, "link: from a name to its price"),
    (COLUMN, "columns: blocks in reading order"),
    (HEADING, "headers: heading of a section"),
    (ITEM, "items: name, with its number in the list"),
    (DESCRIPTION, "items: description"),
    (UNCERTAIN, "uncertain: left undecided"),
    (SUPERFLUOUS, "superfluous: no part of the list of dishes"),
)


def draw(seen: Seen) -> Image.Image:
    """The picture, the right way up, with every stage on it and the legend and the menu at its right."""
    sheet = _Sheet(seen)
    sheet.mark_everything()
    return _beside(sheet.image, [*_legend(seen), *_listing(seen)])


class _Sheet:
    """The picture being drawn on. ``scale`` is from its pixels to those drawn."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        picture = seen.reading.picture
        self._scale = max(1.0, SHORTEST_LONG_SIDE / max(picture.width, picture.height))
        size = (round(picture.width * self._scale), round(picture.height * self._scale))
        image = Image.fromarray(picture.pixels[:, :, ::-1]).resize(size, Image.Resampling.BICUBIC)
        # Paler than it is: what is drawn has to stand out.
        self.image = Image.blend(image, Image.new("RGB", size, "white"), 0.35)

    def mark_everything(self) -> None:
        layout = self._seen.layout
        self._fill(self._row_shapes([aside.row for aside in layout.menu.asides]), SUPERFLUOUS)
        self._fill(self._row_shapes([doubt.row for doubt in layout.menu.doubts]), UNCERTAIN)
        items = [item for category in layout.menu.categories for item in category.items]
        self._fill(self._row_shapes([line for item in items for line in item.description_lines]), DESCRIPTION)
        self._fill(self._row_shapes([item.row for item in items]), ITEM)
        headers = [category.header for category in layout.menu.categories if category.header is not None]
        self._fill(self._row_shapes(headers), HEADING)
        prices = [piece for piece in layout.pieces if isinstance(piece, PricePiece)]
        self._fill([self._shape(piece) for piece in prices], PRICE)
        self._fill([self._shape(piece) for piece in layout.linked.orphans], UNCERTAIN)
        pen = ImageDraw.Draw(self.image)
        self._rows_of_page(pen)
        for line in self._seen.reading.lines:
            self._read_line(pen, line, UNREAD if line in self._seen.legible.guesses else READ)
        for line in self._seen.reading.blanks:
            pen.polygon(self._scaled(line.corners), outline=UNREAD, width=2)
        for line in layout.looked_again:
            self._read_line(pen, line, SECOND_LOOK)
        for number, block in enumerate(layout.blocks, start=1):
            self._block(pen, number, block)
        for row in layout.linked.rows:
            self._links(pen, row)
        for number, item in enumerate(items, start=1):
            first = item.row.texts[0]
            x, y = self._point(first.x0, first.y)
            _badge(pen, (max(x, 12.0), y), str(number), ITEM, "rm")

    def _fill(self, shapes: Sequence[Sequence[Point]], colour: Colour) -> None:
        mask = Image.new("L", self.image.size, 0)
        pen = ImageDraw.Draw(mask)
        for shape in shapes:
            pen.polygon(list(shape), fill=90)
        self.image.paste(colour, (0, 0), mask)

    def _row_shapes(self, rows: Sequence[Row]) -> list[list[Point]]:
        return [self._shape(text) for row in rows for text in row.texts]

    def _shape(self, piece: TextPiece | PricePiece) -> list[Point]:
        top, bottom = piece.y - piece.height / 2, piece.y + piece.height / 2
        return self._outline(piece.x0, top, piece.x1, bottom)

    def _outline(self, x0: float, y0: float, x1: float, y1: float) -> list[Point]:
        return [self._point(x, y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]

    def _point(self, level_x: float, level_y: float) -> Point:
        x, y = self._seen.layout.page.in_picture(level_x, level_y)
        return x * self._scale, y * self._scale

    def _scaled(self, corners: Sequence[Point]) -> list[Point]:
        return [(x * self._scale, y * self._scale) for x, y in corners]

    def _read_line(self, pen: ImageDraw.ImageDraw, line: ReadLine, colour: Colour) -> None:
        corners = self._scaled(line.corners)
        pen.polygon(corners, outline=colour, width=1 if line.score >= FAINT else 2)
        if line.score < FAINT:
            pen.text(corners[1], f"{line.score:.2f}", UNREAD, _font(11), anchor="rs")

    def _rows_of_page(self, pen: ImageDraw.ImageDraw) -> None:
        lines = self._seen.layout.lines
        if not lines:
            return
        left, right = min(line.x0 for line in lines), max(line.x1 for line in lines)
        top, bottom = lines[0].y, lines[-1].y
        for step in range(LEVEL_LINES):
            y = top + (bottom - top) * step / (LEVEL_LINES - 1)
            ends = [self._point(left + (right - left) * part / 8, y) for part in range(9)]
            pen.line(ends, SLOPE, 1)

    def _block(self, pen: ImageDraw.ImageDraw, number: int, block: Sequence[Row]) -> None:
        top = min(row.y - row.height for row in block)
        bottom = max(row.y + row.height for row in block)
        corners = self._outline(min(row.x0 for row in block), top, max(row.x1 for row in block), bottom)
        for start, end in pairwise([*corners, corners[0]]):
            _dashed(pen, start, end, COLUMN)
        x, y = corners[0]
        _badge(pen, (max(x, 2.0), max(y, 16.0)), f"column {number}", COLUMN, "lb")

    def _links(self, pen: ImageDraw.ImageDraw, row: Row) -> None:
        for price in row.price_pieces:
            name = min(row.texts, key=lambda text: abs(text.y - price.y) + abs(text.x1 - price.x0))
            start = self._point(name.x1 if price.x0 >= name.x1 else name.x0, name.y)
            end = self._point(price.x0 if price.x0 >= name.x1 else price.x1, price.y)
            pen.line([start, end], LINK, 2)
            pen.ellipse((end[0] - 3, end[1] - 3, end[0] + 3, end[1] + 3), fill=LINK)


def _dashed(pen: ImageDraw.ImageDraw, start: Point, end: Point, colour: Colour) -> None:
    steps = max(1, round(max(abs(end[0] - start[0]), abs(end[1] - start[1])) / 7))
    places = [
        (start[0] + (end[0] - start[0]) * step / steps, start[1] + (end[1] - start[1]) * step / steps)
        for step in range(steps + 1)
    ]
    for first, second in list(pairwise(places))[::2]:
        pen.line([first, second], colour, 2)


def _badge(pen: ImageDraw.ImageDraw, place: Point, text: str, colour: Colour, anchor: str) -> None:
    left, top, right, bottom = pen.textbbox(place, text, _font(12), anchor=anchor)
    pen.rectangle((left - 2, top - 1, right + 2, bottom + 2), fill=colour)
    pen.text(place, text, "white", _font(12), anchor=anchor)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the legend or the list beside the picture."""

    text: str
    colour: Colour | None = None
    strong: bool = False


def _legend(seen: Seen) -> Iterator[_Entry]:
    reading = seen.reading
    yield _Entry("What each stage saw", strong=True)
    if reading.quarters:
        yield _Entry(f"turned by {90 * reading.quarters} degrees counter-clockwise")
    yield from (_Entry(text, colour) for colour, text in LEGEND)
    tilt = seen.layout.page.tilt * 57.2958
    linked = seen.layout.linked
    yield _Entry(
        f"{len(reading.lines)} lines read, {len(reading.blanks)} not; the page is tilted by {tilt:.1f} degrees"
    )
    yield _Entry(f"prices stand {_WHERE[linked.side.value]} the names; {len(linked.orphans)} have no name")
    yield _Entry("")


_WHERE = {"right": "right of", "left": "left of", "below": "below"}


def _listing(seen: Seen) -> Iterator[_Entry]:
    if seen.refusal is not None:
        yield _Entry(f"{seen.refusal.code}: {seen.refusal.message}", UNREAD)
        yield _Entry("")
    menu, page = seen.layout.menu, page_regularity(seen.layout.menu, len(seen.layout.linked.orphans))
    height = usual_name_height(menu)
    number = 0
    for category in menu.categories:
        yield _Entry(category.name, HEADING, strong=True)
        for item in category.items:
            number += 1
            prices = " / ".join("?" if price.value is None else f"{price.value:.2f}" for price in item.row.prices)
            yield _Entry(f"{number}  {item.name}  {prices}  ({item_confidence(item, page, height):.2f})")
    for title, colour, texts in (
        ("Uncertain", UNCERTAIN, [f"{found['text']}: {found['reason']}" for found in seen.result["uncertainItems"]]),
        ("Superfluous", SUPERFLUOUS, [f"{text['text']}: {text['context']}" for text in seen.result["superfluousText"]]),
    ):
        if texts:
            yield _Entry("")
            yield _Entry(title, colour, strong=True)
            yield from (_Entry(text) for text in texts)


def _beside(image: Image.Image, entries: Sequence[_Entry]) -> Image.Image:
    """The picture and at its right the entries, in as many columns as its height asks for."""
    lines = [line for entry in entries for line in _wrapped(entry)]
    per_column = max((image.height - 2 * MARGIN) // LINE_STEP, 30)
    columns = -(-len(lines) // per_column)
    height = max(image.height, 2 * MARGIN + LINE_STEP * min(len(lines), per_column))
    sheet = Image.new("RGB", (image.width + MARGIN + columns * COLUMN_WIDTH, height), "white")
    sheet.paste(image, (0, 0))
    pen = ImageDraw.Draw(sheet)
    for index, (entry, text, first) in enumerate(lines):
        x = image.width + MARGIN + (index // per_column) * COLUMN_WIDTH
        y = MARGIN + (index % per_column) * LINE_STEP
        if first and entry.colour is not None:
            pen.rectangle((x, y + 2, x + 12, y + 14), fill=entry.colour)
        indent = 0 if entry.colour is None else 20
        pen.text((x + indent, y), text, INK, _font(TEXT_SIZE), stroke_width=0.4 if entry.strong else 0)
    return sheet


def _wrapped(entry: _Entry) -> Iterator[tuple[_Entry, str, bool]]:
    """The entry's lines, each with whether it is the first."""
    room = COLUMN_WIDTH - 2 * MARGIN - (0 if entry.colour is None else 20)
    measure: Callable[[str], float] = _font(TEXT_SIZE).getlength
    line, first = "", True
    for word in _drawable(entry.text).split(" "):
        longer = f"{line} {word}" if line else word
        if line and measure(longer) > room:
            yield entry, line, first
            line, first = word, False
        else:
            line = longer
    yield entry, line, first


def _drawable(text: str) -> str:
    """``text`` in the letters of the one typeface that comes with Pillow: without accents, ``?`` for what it lacks."""
    return "".join(_nearest_glyph(character) for character in text)


@cache
def _nearest_glyph(character: str) -> str:
    font = _font(TEXT_SIZE)
    missing = bytes(font.getmask("\uffff"))
    for like in (character, unicodedata.normalize("NFKD", character)[0]):
        if like == " " or bytes(font.getmask(like)) != missing:
            return like
    return "?"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
