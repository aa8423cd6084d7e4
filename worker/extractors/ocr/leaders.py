"""Erases leader dots, the row of dots from a name to its price: they squash the letters the engine sees."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from worker.extractors.ocr.picture import Picture, Pixels

FEWEST_DOTS = 6
FAINTEST = 24
"""With less contrast between text and paper, 0..255, a dot cannot be told from the grain of the picture."""
SHARES_OF_CONTRAST = (1 / 3, 0.45)
"""What differs from the paper by so much of the contrast is ink. At the first alone blurred dots run together."""
LEAST = 8
"""What differs by less, 0..255, is the grain of the picture."""
LARGEST_SHARE = 0.34
"""Of the height of the letters around; beyond that a row of like blobs is a row of letters."""


def erase_leaders(picture: Picture) -> Picture:
    """The picture without rows of six or more small, alike, evenly spaced dots; the same one if it has none."""
    grey = cv2.cvtColor(picture.pixels, cv2.COLOR_BGR2GRAY)
    paper = _paper(picture.pixels)
    difference = cv2.absdiff(grey, cv2.cvtColor(paper, cv2.COLOR_BGR2GRAY))
    contrast = _contrast(difference)
    if contrast < FAINTEST:
        return picture
    mask = np.zeros(difference.shape, dtype=np.uint8)
    for share in SHARES_OF_CONTRAST:
        _mark_leaders(mask, (difference > max(LEAST, int(contrast * share))).astype(np.uint8))
    if not mask.any():
        return picture
    pixels = picture.pixels.copy()
    pixels[mask == 1] = paper[mask == 1]
    return Picture(pixels)


def _contrast(difference: npt.NDArray[Any]) -> int:
    """What all but a hundredth of the picture does not exceed."""
    counted = cv2.calcHist([difference], [0], None, [256], [0, 256]).ravel().cumsum()  # far faster than sorting
    return int(np.searchsorted(counted, 0.99 * counted[-1]))


def _mark_leaders(mask: npt.NDArray[np.uint8], ink: npt.NDArray[np.uint8]) -> None:
    _, _, boxes, centres = cv2.connectedComponentsWithStats(ink, connectivity=8)
    dots = _dots(boxes, centres)
    for row in _rows(dots):
        for x, y, width, height in dots[row]:
            # A little more than the dot itself: its soft rim is still a dot to the detector.
            across, down = width / 2 + 2, height / 2 + 2
            mask[max(0, int(y - down)) : int(y + down) + 2, max(0, int(x - across)) : int(x + across) + 2] = 1


def _paper(pixels: Pixels) -> Pixels:
    """The picture without its text: a wide median, taken at a quarter of the size for speed."""
    height, width = pixels.shape[:2]
    quarter = cv2.resize(pixels, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    paper = cv2.resize(cv2.medianBlur(quarter, 7), (width, height), interpolation=cv2.INTER_LINEAR)
    return paper.astype(np.uint8, copy=False)


def _dots(boxes: npt.NDArray[Any], centres: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Rows of x, y, width, height of the blobs that may be dots, sorted by x."""
    widths, heights, areas = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    letters = heights[(heights >= 7) & (heights <= 80) & (widths <= 2 * heights) & (areas >= 0.15 * widths * heights)]
    if not len(letters):
        return np.empty((0, 4))
    # Two or three dots may have run together, so a blob may be wider than high.
    may_be = (heights <= LARGEST_SHARE * np.median(letters) + 1) & (heights <= 1.5 * widths + 2)
    may_be &= (widths <= 3 * heights + 2) & (areas >= 2) & (areas >= 0.6 * widths * heights)
    may_be[0] = False  # the background
    chosen = np.column_stack([centres, widths, heights])[may_be].astype(np.float64)
    ordered: npt.NDArray[np.float64] = chosen[np.argsort(chosen[:, 0], kind="stable")]
    return ordered


def _rows(dots: npt.NDArray[np.float64]) -> list[list[int]]:
    """Indices of the dots of each leader: each the nearest next dot of like size and step."""
    if len(dots) < FEWEST_DOTS:
        return []
    following = [_next_dot(dots, index) for index in range(len(dots))]
    used = np.zeros(len(dots), dtype=bool)
    rows = []
    for first in range(len(dots)):
        if used[first]:
            continue
        row, step = [first], 0.0
        while (after := following[row[-1]]) is not None and not used[after]:
            gap = dots[after, 0] - dots[row[-1], 0]
            if step and not 0.6 * step <= gap <= 2.4 * step:  # up to one dot may be missing
                break
            if not step or gap <= 1.5 * step:
                step = gap if not step else 0.7 * step + 0.3 * gap
            row.append(after)
        # A last dot further off is no leader's but the price's decimal point.
        while len(row) > 1 and dots[row[-1], 0] - dots[row[-2], 0] > 1.5 * step:
            row.pop()
        if len(row) >= FEWEST_DOTS:
            used[row] = True
            rows.append(row)
    return rows


def _next_dot(dots: npt.NDArray[np.float64], index: int) -> int | None:
    x, y, _, height = dots[index]
    end = int(np.searchsorted(dots[:, 0], x + max(10.0 * height, 12.0), side="right"))
    near = dots[index + 1 : end]
    fits = (np.abs(near[:, 1] - y) <= 0.25 * height + 1.5) & (near[:, 0] - x > 0.9 * height)
    fits &= np.abs(near[:, 3] - height) <= 0.4 * height + 1
    places = np.flatnonzero(fits)
    return index + 1 + int(places[0]) if len(places) else None
