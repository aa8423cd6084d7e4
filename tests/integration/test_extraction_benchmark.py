"""``benchmarks/extraction.py`` with the real engine: what it writes for each picture, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from rapidocr import RapidOCR

from benchmarks.extraction import extract, main
from jobqueue.menu_result import validate_result
from tests.sample_pictures import drawn_menu, encoded
from worker.extractors.ocr import engine


def menu() -> bytes:
    """Each dish in two sizes."""
    return drawn_menu(("Leek Soup", "$4.00", "$6.50"), ("Beet Tart", "$5.00", "$7.00"), ("Rye Bread", "$3.00", "$4.50"))


def blank() -> bytes:
    return encoded(Image.new("RGB", (300, 200), "white"), "PNG")


def test_each_picture_of_a_folder_is_read_and_its_costs_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "THREADS", engine.THREADS)
    (tmp_path / "a menu.PNG").write_bytes(menu())
    (tmp_path / "blank.png").write_bytes(blank())
    (tmp_path / "a broken one.jpg").write_text("No picture either.")
    (tmp_path / "notes.txt").write_text("No picture.")
    out = tmp_path / "new" / "results"
    assert main([str(tmp_path), "--out", str(out), "--stage", "stage2", "--threads", "1"]) == 0
    assert engine.THREADS == 1

    assert {path.name for path in out.iterdir()} == {"a broken one.json", "a menu.json", "blank.json"}
    answer = json.loads((out / "a menu.json").read_text("utf-8"))
    seconds, confidence = answer.pop("seconds"), answer.pop("confidence")
    assert seconds > 0.01
    assert 0.5 < confidence < 1
    (category,) = validate_result(answer, "stage2")["menu"]["categories"]
    assert [len(item["variants"]) for item in category["items"]] == [2, 2, 2]
    assert json.loads((out / "blank.json").read_text("utf-8"))["errorCode"] == "NO_MENU_FOUND"

    broken, first, second, costs, share = capsys.readouterr().out.splitlines()
    assert broken.startswith("a broken one.jpg: IMAGE_REJECTED, ")
    assert first == f"a menu.PNG: 3 dishes, {seconds:.2f} s"
    assert second.startswith("blank.png: NO_MENU_FOUND, ")
    assert costs.startswith("2 pictures: median ")
    assert share.endswith(" of its throughput")


def test_what_nobody_expected_is_told_and_does_not_end_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_asked: object) -> None:
        raise RuntimeError("The model file is damaged.")

    monkeypatch.setattr(RapidOCR, "detect_and_crop", broken)
    picture = tmp_path / "menu.png"
    picture.write_bytes(menu())
    answer = extract(picture, "stage1")
    assert (answer["menu"], answer["errorCode"], answer["confidence"]) == ({"categories": []}, "EXTRACTION_FAILED", 0.0)
    assert "The model file is damaged." in capsys.readouterr().err


def test_a_folder_without_a_picture_that_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "menu.jpg").write_text("No picture.")
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "None of these files is a picture."
