"""What lowers the confidence in a dish and in the whole."""

from __future__ import annotations

import pytest

from worker.extractors.ocr.confidence import (
    category_confidence,
    item_confidence,
    overall_confidence,
    page_regularity,
)
from worker.extractors.ocr.headers import THRESHOLD
from worker.extractors.ocr.link import Row
from worker.extractors.ocr.menu import Aside, Doubt, FoundCategory, FoundItem, FoundMenu
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


def test_how_far_a_size_is_off_counts_up_to_a_limit() -> None:
    assert confidence(height=3 * HEIGHT) == confidence(height=10 * HEIGHT)


def found(items: int = 4, doubts: int = 0, aside: str | None = None) -> FoundMenu:
    row = Row([TextPiece("Onion Soup", 50, 200, 100, HEIGHT, 0.98)])
    dishes = [FoundItem("Onion Soup", "", row, 1.0)] * items
    asides = [Aside(row, aside)] if aside is not None else []
    return FoundMenu([FoundCategory("Soups", None, 0.0, dishes)], asides, [Doubt(row, "why")] * doubts)


def test_a_page_is_as_regular_as_it_was_understood() -> None:
    assert page_regularity(found(), 0) == 1.0
    assert page_regularity(found(), 1) == page_regularity(found(doubts=1), 0) == 0.8
    assert page_regularity(found(aside="contact"), 0) == 1.0
    assert page_regularity(found(aside="text outside the list of dishes"), 0) == pytest.approx(4 / 4.3)
    assert page_regularity(found(items=0), 0) == 0.0


def test_a_heading_is_as_sure_as_it_is_clear() -> None:
    header = Row([TextPiece("SOUPS", 50, 200, 100, HEIGHT, 0.98)])
    assert category_confidence(FoundCategory("Menu", None, 0.0)) == 0.3
    assert category_confidence(FoundCategory("SOUPS", header, THRESHOLD)) == 0.49
    assert category_confidence(FoundCategory("SOUPS", header, THRESHOLD + 9)) == 0.98
