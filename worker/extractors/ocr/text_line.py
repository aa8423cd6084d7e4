"""What the engine reads and what straightening makes of it: lines of words with their places."""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ReadLine:
    """One line as the engine found it in the picture.

    ``corners`` run clockwise from the line's own top left, in pixels. ``centres`` are the places of the characters
    along the line, 0 at its left edge and 1 at its right one, as many as ``text`` has characters.
    ``character_scores`` are the engine's own probabilities, 0..1.
    """

    text: str
    score: float
    corners: tuple[Point, Point, Point, Point]
    centres: tuple[float, ...]
    character_scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """A run of characters without a space; ``x0`` and ``x1`` in straightened pixels."""

    text: str
    x0: float
    x1: float
    score: float


@dataclass(frozen=True, slots=True)
class Line:
    """A straightened line: horizontal, ``y`` its middle, ``height`` that of its box, words from left to right."""

    words: tuple[Word, ...]
    y: float
    height: float

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def x0(self) -> float:
        return self.words[0].x0

    @property
    def x1(self) -> float:
        return self.words[-1].x1

    @property
    def score(self) -> float:
        """The mean over the words, weighted by their length."""
        return sum(word.score * len(word.text) for word in self.words) / sum(len(word.text) for word in self.words)
