"""Finds the page's columns: empty upright strips between rows that already include their prices."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from worker.extractors.ocr.link import Row

FEWEST_PRICED = 2
"""A column has at least so many priced rows."""
FEWEST_BESIDE = 6
"""A part of the page is looked through for columns only if it has so many priced rows."""
LEVELS_TRIED = 12


def read_in_columns(rows: Sequence[Row]) -> list[list[Row]]:
    """Blocks of rows in reading order, each from top to bottom within one column."""
    rows = sorted(rows, key=lambda row: (row.y, row.x0))
    gutter = _gutter(rows)
    if gutter is None:
        level = _level_with_columns(rows)
        if level is None:
            return [rows] if rows else []
        return [*read_in_columns(rows[:level]), *read_in_columns(rows[level:])]
    x, slack = gutter
    blocks: list[list[Row]] = []
    band: list[Row] = []
    for row in rows:
        if _crosses(row, x, slack):
            blocks += _halves(band, x)
            blocks.append([row])
            band = []
        else:
            band.append(row)
    return blocks + _halves(band, x)


def _halves(band: Sequence[Row], x: float) -> list[list[Row]]:
    left = [row for row in band if (row.x0 + row.x1) / 2 < x]
    right = [row for row in band if (row.x0 + row.x1) / 2 >= x]
    return [*(read_in_columns(left) if left else []), *(read_in_columns(right) if right else [])]


def _level_with_columns(rows: Sequence[Row]) -> int | None:
    """Where to cut the page across so that one part has columns: at one of its widest gaps between lines."""
    gaps = sorted(range(1, len(rows)), key=lambda index: rows[index - 1].y - rows[index].y)
    for index in gaps[:LEVELS_TRIED]:
        for part in (rows[:index], rows[index:]):
            if sum(bool(row.price_pieces) for row in part) >= FEWEST_BESIDE and _gutter(part) is not None:
                return index
    return None


def _crosses(row: Row, x: float, slack: float) -> bool:
    return row.x0 < x - slack and row.x1 > x + slack


def _gutter(rows: Sequence[Row]) -> tuple[float, float] | None:
    """The best place of a gutter and how far rows may reach into it; ``None`` where there is none."""
    priced = [row for row in rows if row.price_pieces]
    if len(priced) < 2 * FEWEST_PRICED:
        return None
    slack = 0.5 * median(row.height for row in rows)
    best: tuple[float, float, float] | None = None
    for start in sorted({row.x0 for row in priced})[1:]:
        ends = [row.x1 for row in priced if row.x1 <= start + 2 * slack]
        if not ends:
            continue
        end = max(ends)
        # Text without a price, such as a column of calories, may stand at either side of the gap.
        for share in (0.5, 0.1, 0.9):
            x = end + share * (start - end)
            rating = _rating(rows, priced, x, slack, start - end)
            if rating is not None and (best is None or rating > best[0]):
                best = (rating, x, slack)
    return best[1:] if best else None


def _rating(rows: Sequence[Row], priced: Sequence[Row], x: float, slack: float, width: float) -> float | None:
    """How good a gutter at ``x`` is; ``None`` if it is none."""
    left = [row for row in priced if row.x1 <= x + slack]
    right = [row for row in priced if row.x0 >= x - slack]
    fewer = min(len(left), len(right))
    if fewer < FEWEST_PRICED or len(left) + len(right) < 0.9 * len(priced) or not _side_by_side(left, right):
        return None
    crossing = sum(6 if row.price_pieces else 1 for row in rows if _crosses(row, x, slack))
    if crossing > 0.5 * fewer + 3:
        return None
    return fewer - 2 * crossing + min(width, 6 * slack) / slack


def _side_by_side(left: Sequence[Row], right: Sequence[Row]) -> bool:
    top = max(min(row.y for row in left), min(row.y for row in right))
    bottom = min(max(row.y for row in left), max(row.y for row in right))
    shorter = min(max(row.y for row in side) - min(row.y for row in side) for side in (left, right))
    return bottom - top >= 0.3 * shorter
