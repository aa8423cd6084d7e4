"""``jobqueue explain`` answers every wrong input with one sentence, before any engine is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import CommandLine, error_of
from tests.sample_pictures import picture
from worker.extractors.ocr.explain import main as explain_process

run = CommandLine({})


@pytest.fixture(autouse=True)
def _no_other_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that does not come would put another program in this one's place, which ends well and tests nothing."""

    def refuse(*_asked: object) -> None:
        raise AssertionError("The command was not refused.")

    monkeypatch.setattr("os.execv", refuse)


@pytest.fixture
def menu(tmp_path: Path) -> Path:
    path = tmp_path / "menu.png"
    path.write_bytes(picture())
    return path


@pytest.mark.parametrize("missing", ["celery", "cv2", "numpy", "onnxruntime", "rapidocr"])
def test_without_the_extra_it_says_what_to_install(menu: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr("jobqueue.cli.explain.find_spec", lambda module: None if module == missing else module)
    result = run("explain", menu)
    assert (result.exit_code, "pip install 'menu-jobqueue[worker,ocr]'" in error_of(result)) == (2, True)


def test_no_picture(tmp_path: Path) -> None:
    result = run("explain", tmp_path / "missing.jpg")
    assert (result.exit_code, error_of(result)) == (2, f"There is no picture at {tmp_path / 'missing.jpg'}.")
    assert run("explain", tmp_path).exit_code == 2


@pytest.mark.parametrize("name", ["menu.jpg", "menu", "nowhere/menu.png", "folder.png"])
def test_no_place_for_the_drawing(menu: Path, name: str) -> None:
    (menu.parent / "folder.png").mkdir()
    result = run("explain", menu, "--out", menu.parent / name)
    assert result.exit_code == 2
    assert "The drawing" in error_of(result)


def test_the_picture_is_not_overwritten(menu: Path) -> None:
    before = menu.read_bytes()
    (menu.parent / "same.png").symlink_to(menu)
    for out in (menu, menu.parent / "same.png"):
        result = run("explain", menu, "--out", out)
        assert (result.exit_code, menu.read_bytes()) == (2, before)
        assert "would replace the picture" in error_of(result)


@pytest.mark.parametrize("options", [[], ["--out", "drawing.PNG"]])
def test_what_is_no_picture_is_refused_in_one_sentence(tmp_path: Path, options: list[str]) -> None:
    broken = tmp_path / "menu.jpg"
    broken.write_bytes(b"%PDF-1.7")
    command = [sys.executable, "-c", "from jobqueue.cli import main; main()", "explain", str(broken), *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Error: The picture cannot be read; send it as a complete JPEG, PNG or WebP file.\n"
    assert not (tmp_path / "menu.explained.png").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = tmp_path / "gone.jpg"
    assert explain_process([str(gone), str(tmp_path / "drawing.png")]) == 1
    assert capsys.readouterr().err == f"Error: {gone}: No such file or directory.\n"
