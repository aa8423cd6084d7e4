"""The real engine before pictures that lie the wrong way, that show no menu, or that are in scripts it does not know.

The pages in ``scripts/`` were set for these tests, because a fresh machine lacks the typefaces.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from jobqueue.demo.make_menus import FOLDER
from jobqueue.demo.typesetting import Type, draw_text
from jobqueue.extraction import PermanentExtractionError
from jobqueue.menu_result import validate_result
from tests.integration.test_ocr_samples import extract, plain
from worker.extractors.ocr.explain import explain
from worker.extractors.ocr.explain import main as explain_process
from worker.extractors.ocr.extractor import Seen, look
from worker.extractors.ocr.legibility import REASON

SCRIPTS = Path(__file__).parent / "scripts"


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def seen(data: bytes) -> Seen:
    return look(data, "stage1", lambda _stage, _fraction: None)


@pytest.mark.parametrize(
    ("turned", "quarters"),
    [(Image.Transpose.ROTATE_180, 2), (Image.Transpose.ROTATE_90, 3), (Image.Transpose.ROTATE_270, 1)],
    ids=["upside down", "sideways", "sideways the other way"],
)
def test_a_menu_that_lies_the_wrong_way_is_turned(turned: Image.Transpose, quarters: int) -> None:
    truth = json.loads((FOLDER / "one_column.json").read_text(encoding="utf-8"))
    upright = Image.open(FOLDER / "one_column.jpg").crop((0, 0, 1000, 690))
    found = seen(png(upright.transpose(turned)))
    assert found.reading.quarters == quarters
    assert (found.reading.picture.width, found.reading.picture.height) == (1000, 690)
    assert plain(found.result["menu"]) == plain(truth["menu"])[:1]
    first, last = found.reading.lines[0].corners, found.layout.linked.rows[-1]
    assert first[1][0] > first[0][0]  # places are those of the turned picture
    assert last.y < 690


@pytest.mark.parametrize("script", ["thai", "korean", "cyrillic", "greek", "arabic", "vietnamese"])
def test_a_script_that_the_engine_lacks_is_said(script: str) -> None:
    with pytest.raises(PermanentExtractionError, match="Latin letters") as refused:
        extract((SCRIPTS / f"{script}.png").read_bytes())
    assert refused.value.code == "SCRIPT_NOT_SUPPORTED"


def test_of_two_scripts_one_is_read_and_the_other_said() -> None:
    outcome, _ = extract((SCRIPTS / "thai_and_english.png").read_bytes())
    result = validate_result(outcome.result, "stage1")
    assert plain(result["menu"]) == [
        (
            "lunch",
            [
                ("Prawn Fried Rice", 12.0, ""),
                ("Tom Yum Goong", 8.5, ""),
                ("Pad Thai", 9.5, ""),
                ("Green Curry Chicken", 11.0, ""),
                ("Papaya Salad", 7.0, ""),
            ],
        )
    ]
    assert any(item["reason"] == REASON for item in result["uncertainItems"])


def test_what_could_not_be_read_is_kept_apart() -> None:
    reading = seen((SCRIPTS / "arabic.png").read_bytes()).reading
    assert reading.blanks
    assert all(line.text for line in reading.lines)
    assert not any(line.text for line in reading.blanks)


def test_the_engine_is_not_shown_leader_dots() -> None:
    page = Image.new("RGB", (900, 300), "white")
    for row, (name, price) in enumerate([("Leek Soup", "4.50"), ("Beet Tart", "6.80"), ("Plum Cake", "3.90")]):
        for x, text in ((60, name), (240, ". " * 34), (760, price)):
            draw_text(page, x, 80 + 70 * row, text, Type(30, (30, 30, 30), 0.5))
    reading = seen(png(page)).reading
    assert reading.picture.pixels[:, 260:700].min() < 100
    assert reading.without_leaders.pixels[:, 260:700].min() > 200
    assert {line.text for line in reading.lines} >= {"Leek Soup", "4.50", "3.90"}


def prose() -> Image.Image:
    page = Image.new("RGB", (900, 620), (250, 248, 240))
    text = """The harbour lay quiet that morning, and nobody saw the
        boat come in. An old man stood on the quay with his hands
        in his pockets, as he had done every day since the ferry
        stopped. He counted the gulls and forgot the number. When
        the rope came flying he caught it without looking, tied it
        fast, and went home to light the stove."""
    for row, line in enumerate(text.splitlines()):
        draw_text(page, 60, 90 + 70 * row, line.strip(), Type(30, (40, 40, 40), 0.4))
    return page


def landscape() -> Image.Image:
    page = Image.linear_gradient("L").resize((1000, 700)).convert("RGB")
    pen = ImageDraw.Draw(page)
    pen.ellipse((700, 80, 820, 200), fill=(250, 230, 120))
    hills = [(x, 480 + 60 * math.sin(x / 90) + 20 * math.sin(x / 23)) for x in range(0, 1001, 5)]
    pen.polygon([(0, 700), *hills, (1000, 700)], fill=(60, 110, 50))
    return page


def face() -> Image.Image:
    page = Image.new("RGB", (700, 800), (170, 190, 210))
    pen = ImageDraw.Draw(page)
    pen.ellipse((170, 120, 530, 680), fill=(225, 180, 150))
    for x in (270, 430):
        pen.ellipse((x - 40, 330, x + 40, 375), fill="white")
        pen.ellipse((x - 16, 338, x + 16, 370), fill=(60, 40, 30))
    pen.arc((270, 480, 430, 590), 20, 160, fill=(150, 60, 60), width=12)
    return page


@pytest.mark.parametrize("drawn", [prose, landscape, face])
def test_a_picture_of_something_else_is_no_menu(drawn: Callable[[], Image.Image]) -> None:
    with pytest.raises(PermanentExtractionError, match="does not seem to show a menu") as refused:
        extract(png(drawn()))
    assert refused.value.code == "NO_MENU_FOUND"


def test_of_a_thumbnail_its_size_is_said() -> None:
    thumbnail = Image.open(FOLDER / "one_column.jpg").resize((100, 164))
    with pytest.raises(PermanentExtractionError, match="very small: send one of at least") as refused:
        extract(png(thumbnail))
    assert refused.value.code == "NO_MENU_FOUND"


def test_the_command_draws_what_was_seen(tmp_path: Path) -> None:
    menu = tmp_path / "a menu.png"
    Image.open(FOLDER / "one_column.jpg").crop((0, 0, 1000, 690)).save(menu)
    command = [sys.executable, "-c", "from jobqueue.cli import main; main()", "explain", str(menu)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    drawing = tmp_path / "a menu.explained.png"
    assert (ended.returncode, ended.stderr) == (0, "")
    dishes, confidence = len(seen(menu.read_bytes()).result["menu"]["categories"][0]["items"]), r"0\.[89]\d"
    assert re.fullmatch(
        rf"{dishes} dishes in 1 sections, confidence {confidence}\. The drawing is in {re.escape(str(drawing))}\.\n",
        ended.stdout,
    )
    with Image.open(drawing) as image:
        assert image.format == "PNG"
        assert image.width > 1400


def test_the_command_draws_what_it_refuses_too_and_says_why(tmp_path: Path) -> None:
    blank, drawing = tmp_path / "blank.png", tmp_path / "drawing.png"
    Image.new("RGB", (900, 700), "white").save(blank)
    said = explain(blank, drawing)
    assert said.startswith("This picture does not seem to show a menu: no text could be read in it.")
    assert said.endswith(f"The drawing is in {drawing}.")
    with Image.open(drawing) as image:
        assert image.size[1] == round(700 * 1400 / 900)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (900, 700), "white").save(blank)
    assert explain_process([str(blank), "/dev/full"]) == 1
    assert capsys.readouterr().err == "Error: /dev/full: No space left on device.\n"
