"""The figures that ``benchmarks/extraction.py`` prints, and what it writes for a picture that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.extraction import Costs, extract, main, percentile


def test_the_ninth_of_ten_is_the_ninetieth_percentile() -> None:
    assert percentile([10.0, 1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0], 0.9) == 9.0
    assert percentile([3.0], 0.9) == 3.0


def test_throughput_is_compared_over_all_pictures() -> None:
    costs, share = Costs([1.0, 3.0], [0.9, 2.7]).lines()
    assert costs.startswith("2 pictures: median 2.00 s, p90 3.00 s, peak memory ")
    assert share == "extractor 0.500 pictures/s, bare engine 0.556: 0.90 of its throughput"


def test_a_picture_that_fails_has_an_empty_result_and_a_code(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    answer = extract(broken, "stage1")
    assert (answer["menu"], answer["errorCode"], answer["confidence"]) == ({"categories": []}, "IMAGE_REJECTED", 0.0)
    assert answer["seconds"] >= 0


def test_a_folder_without_pictures_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "there is no JPEG, PNG or WebP in" in capsys.readouterr().err
