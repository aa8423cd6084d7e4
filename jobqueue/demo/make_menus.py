"""Draws the sample menus: ``python -m jobqueue.demo.make_menus [FOLDER]`` writes each picture and its truth."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from jobqueue.demo.photograph import photograph
from jobqueue.demo.sample_menus import ONE_COLUMN, TILTED_PHOTO, TWO_COLUMNS, SampleMenu, Section
from jobqueue.demo.typesetting import Colour, Type, draw_centred, draw_right, draw_text, width_of

FOLDER = Path(__file__).parent / "menus"
QUALITY = 88


def one_column() -> Image.Image:
    """Cream paper, one centred column, prices at the right."""
    ink, green, soft = (38, 40, 38), (36, 84, 66), (112, 112, 104)
    menu, page = ONE_COLUMN, Image.new("RGB", (1000, 1640), (250, 246, 236))
    _frame(page, green)
    draw_centred(page, 500, 150, menu.title, Type(62, green, 1.2, 9))
    draw_centred(page, 500, 200, menu.slogan, Type(25, soft, 0, 1.5, 0.18))
    _ornament(page, 500, 245, green)
    y = 325
    for section in menu.sections:
        draw_centred(page, 500, y, section.name, Type(40, green, 0.8, 2))
        y += 62
        for dish in section.dishes:
            draw_text(page, 130, y, dish.name, Type(30, ink, 0.5))
            draw_right(page, 870, y, f"${dish.price:.2f}", Type(30, ink, 0.3))
            if dish.description:
                draw_text(page, 130, y + 34, dish.description, Type(22, soft, 0, 0.4))
            y += 84 if dish.description else 56
        y += 44
    _footer(page, 500, 1540, menu.footer, Type(20, soft, 0, 0.6))
    return page


def two_columns() -> Image.Image:
    """Two columns under a band of colour, with leaders, descriptions and a footer."""
    ink, red, soft = (44, 34, 32), (140, 38, 38), (118, 104, 98)
    menu, page = TWO_COLUMNS, Image.new("RGB", (1500, 1320), (253, 251, 246))
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, 1500, 206), red)
    pen.rectangle((0, 212, 1500, 216), (196, 160, 92))
    draw_centred(page, 750, 112, menu.title, Type(66, (253, 246, 232), 1.2, 12))
    draw_centred(page, 750, 164, menu.slogan, Type(26, (236, 208, 170), 0, 2, 0.18))
    pen.line((750, 270, 750, 1130), (222, 206, 188), 2)
    for sections, left, right in ((menu.sections[:2], 90, 680), (menu.sections[2:], 820, 1410)):
        y = 300
        for section in sections:
            y = _leader_section(page, section, left, right, y, (ink, red, soft))
    pen.line((90, 1168, 1410, 1168), (196, 160, 92), 2)
    _footer(page, 750, 1212, menu.footer, Type(21, soft, 0, 0.6))
    return page


def _leader_section(
    page: Image.Image, section: Section, left: int, right: int, y: int, colours: tuple[Colour, Colour, Colour]
) -> int:
    ink, red, soft = colours
    draw_text(page, left, y, section.name.upper(), Type(34, red, 0.9, 5))
    ImageDraw.Draw(page).line((left, y + 14, left + 70, y + 14), (196, 160, 92), 3)
    y += 62
    name_type = Type(27, ink, 0.5)
    for dish in section.dishes:
        price = f"€ {dish.price:.2f}".replace(".", ",")
        draw_text(page, left, y, dish.name, name_type)
        draw_right(page, right, y, price, Type(27, ink, 0.3))
        start, end = left + width_of(dish.name, name_type) + 14, right - width_of(price, name_type) - 14
        _leader(page, start, end, y, soft)
        if dish.description:
            draw_text(page, left, y + 32, dish.description, Type(21, soft, 0, 0.4, 0.14))
        y += 80 if dish.description else 52
    return y + 36


def _leader(page: Image.Image, start: float, end: float, y: float, colour: Colour) -> None:
    pen = ImageDraw.Draw(page)
    for x in range(round(start), round(end), 11):
        pen.ellipse((x, y - 4, x + 3, y - 1), colour)


def tilted_photo() -> Image.Image:
    """A dark card with light type, photographed askew on a table."""
    paper, light, gold, soft = (34, 40, 46), (240, 236, 226), (226, 178, 92), (178, 176, 168)
    menu, page = TILTED_PHOTO, Image.new("RGB", (1100, 1860), paper)
    _frame(page, gold)
    draw_centred(page, 550, 160, menu.title, Type(70, gold, 1.6, 8))
    draw_centred(page, 550, 215, menu.slogan, Type(29, soft, 0, 1.2, 0.18))
    _ornament(page, 550, 262, gold)
    y = 345
    for section in menu.sections:
        draw_text(page, 130, y, section.name, Type(44, gold, 1.1, 6))
        ImageDraw.Draw(page).line((130, y + 16, 970, y + 16), gold, 2)
        y += 70
        for dish in section.dishes:
            draw_text(page, 130, y, dish.name, Type(35, light, 0.6))
            draw_right(page, 970, y, f"${dish.price:.2f}", Type(35, light, 0.5))
            if dish.description:
                draw_text(page, 130, y + 36, dish.description, Type(26, soft, 0, 0.6))
            y += 86 if dish.description else 54
        y += 40
    _footer(page, 550, 1768, menu.footer, Type(24, soft, 0, 0.8))
    return photograph(page, (1300, 1800), seed=7)


def _frame(page: Image.Image, colour: Colour) -> None:
    pen = ImageDraw.Draw(page)
    pen.rectangle((36, 36, page.width - 37, page.height - 37), outline=colour, width=3)
    pen.rectangle((46, 46, page.width - 47, page.height - 47), outline=colour, width=1)


def _ornament(page: Image.Image, x: int, y: int, colour: Colour) -> None:
    pen = ImageDraw.Draw(page)
    pen.line((x - 130, y, x - 22, y), colour, 2)
    pen.line((x + 22, y, x + 130, y), colour, 2)
    pen.polygon(((x - 12, y), (x, y - 8), (x + 12, y), (x, y + 8)), fill=colour)


def _footer(page: Image.Image, centre: int, y: int, lines: Sequence[str], how: Type) -> None:
    for index, line in enumerate(lines):
        draw_centred(page, centre, y + index * how.size * 1.6, line, how)


SAMPLES: dict[str, tuple[SampleMenu, Callable[[], Image.Image]]] = {
    "one_column": (ONE_COLUMN, one_column),
    "two_columns": (TWO_COLUMNS, two_columns),
    "tilted_photo": (TILTED_PHOTO, tilted_photo),
}


def make_menus(folder: Path) -> None:
    """Write every sample's ``.jpg`` and ``.json`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (menu, draw) in SAMPLES.items():
        draw().save(folder / f"{name}.jpg", quality=QUALITY, optimize=True)
        truth = json.dumps(menu.truth(), indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{truth}\n", encoding="utf-8")


if __name__ == "__main__":
    make_menus(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
