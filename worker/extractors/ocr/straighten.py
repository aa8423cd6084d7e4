"""Straightens the places of lines, not the pixels: rows of a tilted or bent page become horizontal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.extractors.ocr.text_line import Line, Point, ReadLine, Word

WIDE = 3.0
"""A line at least so many times as long as it is high says where the page's rows run."""
STEEPEST = 1.0
STEPS = 16

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Levelling:
    """How places in the picture and level places belong together: the page's slopes, and the tilt as a whole."""

    slopes: _Floats
    reference: float
    tilt: float

    def level_x(self, x: float, y: float) -> float:
        return x * math.cos(self.tilt) + y * math.sin(self.tilt)

    def level_y(self, x: float, y: float) -> float:
        """The height at which the row through (x, y) crosses the page's middle."""
        return self._follow(x, y, self.reference)

    def in_picture(self, level_x: float, level_y: float) -> Point:
        """The place in the picture that becomes the given level place."""
        x, y = level_x, level_y
        for _ in range(4):
            x = (level_x - y * math.sin(self.tilt)) / math.cos(self.tilt)
            y = self._follow(self.reference, level_y, x)
        return x, y

    def _follow(self, x: float, y: float, end: float) -> float:
        step = (end - x) / STEPS
        for _ in range(STEPS):
            y += step * _slope_at(self.slopes, x, y)
            x += step
        return y


def levelling(read: Sequence[ReadLine]) -> Levelling:
    """How the page lies in the picture, from the lines that run across it."""
    level = [line for line in read if _is_level(line)]
    if not level:
        return Levelling(np.zeros(3), 0.0, 0.0)
    slopes = _slope_field(level)
    reference = float(np.mean([_middle(line)[0] for line in level]))
    tilt = math.atan(float(np.mean([_slope_at(slopes, *_middle(line)) for line in level])))
    return Levelling(slopes, reference, tilt)


def straighten(read: Sequence[ReadLine], page: Levelling | None = None) -> list[Line]:
    """The lines with level coordinates, from top to bottom. Lines that run up or down the page are left out."""
    page = page or levelling(read)
    lines = [_level_line(line, page) for line in read if _is_level(line)]
    return sorted(lines, key=lambda line: (line.y, line.x0))


def _is_level(line: ReadLine) -> bool:
    (x0, y0), (x1, y1), _, _ = line.corners
    return x1 > x0 and abs(y1 - y0) <= STEEPEST * (x1 - x0)


def _middle(line: ReadLine) -> tuple[float, float]:
    return sum(x for x, _ in line.corners) / 4, sum(y for _, y in line.corners) / 4


def _size(line: ReadLine) -> tuple[float, float]:
    top_left, top_right, _, bottom_left = line.corners
    return math.dist(top_left, top_right), math.dist(top_left, bottom_left)


def _slope_field(lines: Sequence[ReadLine]) -> _Floats:
    """Coefficients a, b, c of the slope a + b x + c y of the page's rows, fitted to the wide lines without outliers."""
    wide = [line for line in lines if _size(line)[0] >= WIDE * _size(line)[1]]
    if len(wide) < 3:
        return np.zeros(3)
    places = np.array([_middle(line) for line in wide])
    weights = np.array([min(_size(line)[0], 600.0) for line in wide])
    slopes = np.array([_mean_slope(line) for line in wide])
    centre = np.median(slopes)
    spread = max(float(np.median(np.abs(slopes - centre))), 0.002)
    basis = np.column_stack([np.ones(len(wide)), places / 1000.0])
    # A few lines say how the page is turned, only many say how it is bent.
    terms = 3 if len(wide) >= 8 else 1
    kept = np.abs(slopes - centre) <= max(6 * spread, 0.05)
    fitted = np.zeros(3)
    for _ in range(3):
        if kept.sum() < max(3, terms):
            break
        scale = np.sqrt(weights[kept])
        ridge = np.diag([1e-9, 1e-3, 1e-3][:terms]) * weights.sum()
        matrix = basis[kept][:, :terms] * scale[:, None]
        fitted[:terms] = np.linalg.solve(matrix.T @ matrix + ridge, matrix.T @ (slopes[kept] * scale))
        residual = np.abs(slopes - basis @ fitted)
        kept = residual <= max(3 * float(np.median(residual)), 0.006)
    slopes_per_pixel: _Floats = fitted / np.array([1.0, 1000.0, 1000.0])
    return slopes_per_pixel


def _mean_slope(line: ReadLine) -> float:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = line.corners
    return (by - ay + cy - dy) / max(bx - ax + cx - dx, 1e-6)


def _slope_at(slopes: _Floats, x: float, y: float) -> float:
    return float(slopes[0] + slopes[1] * x + slopes[2] * y)


def _level_line(line: ReadLine, page: Levelling) -> Line:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = line.corners
    left, right = ((x0 + x3) / 2, (y0 + y3) / 2), ((x1 + x2) / 2, (y1 + y2) / 2)

    def level_x(share: float) -> float:
        return page.level_x(left[0] + share * (right[0] - left[0]), left[1] + share * (right[1] - left[1]))

    return Line(tuple(_words(line, level_x)), page.level_y(*_middle(line)), _size(line)[1])


def _words(line: ReadLine, level_x: Callable[[float], float]) -> Iterator[Word]:
    """The words with their ends half way between neighbouring characters, the outer ones at the line's ends."""
    start = 0
    for text in line.text.split(" "):
        end = start + len(text)
        if text:
            first, last = line.centres[start], line.centres[end - 1]
            width = (last - first) / (len(text) - 1) if len(text) > 1 else 1 / max(len(line.text), 1)
            x0 = level_x(0.0 if not line.text[:start].strip() else max(0.0, first - width / 2))
            x1 = level_x(1.0 if not line.text[end:].strip() else min(1.0, last + width / 2))
            scores = line.character_scores[start:end]
            yield Word(text, x0, max(x1, x0 + 1), sum(scores) / len(scores) if scores else line.score)
        start = end + 1
