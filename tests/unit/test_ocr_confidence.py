"""What lowers the confidence in a dish and in the whole."""

from __future__ import annotations

from worker.extractors.ocr.confidence import item_confidence, overall_confidence
from worker.extractors.ocr.link import Row
from worker.extractors.ocr.menu import FoundItem
from worker.extractors.ocr.pieces import TextPiece

HEIGHT = 30.0


def confidence(*, score: float = 0.99, certainty: float = 1.0, page: float = 1.0, height: float = HEIGHT) -> float:
    row = Row([TextPiece("Onion Soup", 50, 200, 100, height, score)])
    return item_confidence(FoundItem("Onion Soup", "", row, certainty), page, HEIGHT)


def test_nothing_against_it_is_nearly_sure() -> None:
    assert 0.97 < confidence(score=1.0) < 1.0


def test_each_doubt_lowers_it() -> None:
    sure = confidence()
    assert confidence(score=0.8) < confidence(score=0.95) < sure
    assert confidence(certainty=0.5) < confidence(certainty=0.8) < sure
    assert confidence(page=0.6) < confidence(page=0.9) < sure
    assert confidence(height=45) < sure
    assert confidence(height=20) < sure


def test_the_whole_counts_what_the_page_left_unsolved() -> None:
    assert overall_confidence([0.9, 0.7], 1.0) == 0.8
    assert overall_confidence([0.9, 0.7], 0.5) == round(0.8 * 2 / 3, 3)
    assert overall_confidence([], 1.0) == 0.0
