"""The sample menus are drawn the same way every time, and say what their truth says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from jobqueue.demo.make_menus import FOLDER, SAMPLES, make_menus

LARGEST = 400_000


def test_drawing_is_deterministic(tmp_path: Path) -> None:
    make_menus(tmp_path / "first")
    make_menus(tmp_path / "second")
    for name in SAMPLES:
        first, second = ((tmp_path / folder / f"{name}.jpg").read_bytes() for folder in ("first", "second"))
        assert first == second


@pytest.mark.parametrize("name", SAMPLES)
def test_the_committed_samples_are_those_the_program_draws(name: str) -> None:
    menu, draw = SAMPLES[name]
    assert json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) == menu.truth()
    picture = FOLDER / f"{name}.jpg"
    assert picture.stat().st_size <= LARGEST
    # Pixels may differ by a little from one release of the font renderer to the next.
    drawn, stored = draw().convert("L").resize((64, 64)), Image.open(picture).convert("L").resize((64, 64))
    difference = [abs(a - b) for a, b in zip(drawn.tobytes(), stored.tobytes(), strict=True)]
    assert sum(difference) / len(difference) < 4
