"""Joins pieces that stand side by side in one line of a column: halves of a name, or a name and its description."""

from __future__ import annotations

import re
from collections.abc import Sequence

from worker.extractors.ocr.link import Row
from worker.extractors.ocr.pieces import TextPiece, is_size
from worker.extractors.ocr.wording import reads_like_description

NEAR = 1.2
"""Pieces of text no further apart than so many heights are one run of words."""
COLUMN = 3
"""So many rows that begin at the same place are a column."""


def join_rows(block: Sequence[Row]) -> list[Row]:
    """The block's rows, from top to bottom, pieces of the same line joined from left to right."""
    edges = [row.texts[0].x0 for row in block if row.price_pieces]
    joined: list[Row] = []
    for row in sorted(block, key=lambda row: (row.y, row.x0)):
        for index in range(len(joined) - 1, max(-1, len(joined) - 4), -1):
            left, right = sorted((joined[index], row), key=lambda each: each.texts[0].x0)
            if _belong_together(left, right, edges):
                joined[index] = _join(left, right)
                break
        else:
            joined.append(row)
    return sorted(joined, key=lambda row: (row.y, row.x0))


def _belong_together(left: Row, right: Row, edges: Sequence[float]) -> bool:
    """Whether the two are one line of text. ``edges`` is where the block's rows with a price begin."""
    height = max(left.height, right.height)
    if abs(left.y - right.y) > 0.5 * height or left.price_pieces:
        return False
    if is_size(right.text) and not right.price_pieces and not left.text[-1:].isdigit():
        return False  # the heading of a column of sizes, beside that of the section
    gap = right.texts[0].x0 - left.texts[-1].x1
    if gap < -height or not re.search(r"[^\W\d_]{2}", left.text):  # numbers, such as calories, are no name
        return False
    near = gap <= NEAR * height
    # Where other priced rows begin as well, a column of names begins, not the rest of this one's line.
    own_column = sum(abs(edge - right.texts[0].x0) <= 0.5 * height for edge in edges) >= COLUMN
    if own_column and not near and not reads_like_description(right.text):
        return False
    return near or bool(right.price_pieces and right.price_pieces[0].x0 > right.texts[0].x0 and gap <= 8 * height)


def _join(left: Row, right: Row) -> Row:
    texts: list[TextPiece] = [*left.texts, *right.texts]
    return Row(texts, list(right.price_pieces), min(left.certainty, right.certainty) * 0.95)
