"""Sets text with the one typeface that ships with Pillow, so that the samples need no font of the system."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType; install a wheel of Pillow from the package index.")
    return font


@dataclass(frozen=True, slots=True)
class Type:
    """How a line is set. ``size`` is in pixels, ``weight`` thickens strokes, ``spacing`` parts the letters."""

    size: int
    colour: Colour
    weight: float = 0.0
    spacing: float = 0.0
    slant: float = 0.0


def width_of(text: str, how: Type) -> float:
    """How wide ``text`` will be, in pixels."""
    return sum(_advance(character, how) for character in text) - how.spacing


def _advance(character: str, how: Type) -> float:
    return _font(how.size).getlength("C" if character == "€" else character) + how.spacing


def draw_text(page: Image.Image, x: float, y: float, text: str, how: Type) -> None:
    """Draw ``text`` with its left end at ``x`` and its baseline at ``y``."""
    margin = how.size
    mask = Image.new("L", (round(width_of(text, how)) + 2 * margin, 2 * margin), 0)
    pen = ImageDraw.Draw(mask)
    at = float(margin)
    for character in text:
        glyph = "C" if character == "€" else character
        pen.text((at, 1.5 * margin), glyph, 255, _font(how.size), anchor="ls", stroke_width=how.weight)
        if character == "€":
            _bars(pen, at, 1.5 * margin, how)
        at += _advance(character, how)
    if how.slant:
        shear = (1, how.slant, -how.slant * 1.5 * margin, 0, 1, 0)
        mask = mask.transform(mask.size, Image.Transform.AFFINE, shear, Image.Resampling.BICUBIC)
    page.paste(how.colour, (round(x) - margin, round(y - 1.5 * margin)), mask)


def _bars(pen: ImageDraw.ImageDraw, x: float, baseline: float, how: Type) -> None:
    """The typeface has no euro sign: two bars make one of its C."""
    thickness = max(1, round(how.size * 0.07 + how.weight))
    for height in (0.29, 0.43):
        y = baseline - how.size * height
        pen.line((x - how.size * 0.06, y, x + how.size * 0.42, y), 255, thickness)


def draw_centred(page: Image.Image, centre: float, y: float, text: str, how: Type) -> None:
    """Draw ``text`` with its middle at ``centre``."""
    draw_text(page, centre - width_of(text, how) / 2, y, text, how)


def draw_right(page: Image.Image, right: float, y: float, text: str, how: Type) -> None:
    """Draw ``text`` with its right end at ``right``."""
    draw_text(page, right - width_of(text, how), y, text, how)
