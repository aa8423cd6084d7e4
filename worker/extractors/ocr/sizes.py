"""Headings of columns of sizes, such as ``Small  Medium  Large`` over the prices: they label the prices below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.extractors.ocr.link import Row
from worker.extractors.ocr.pieces import PricePiece, TextPiece, is_size

SAME_LEVEL = 0.6
"""Headings whose middles differ by less than so many heights stand side by side."""


def size_headings(rows: Sequence[Row]) -> list[TextPiece]:
    """The pieces of rows without a price that name nothing but a size."""
    return [text for row in rows if not row.price_pieces for text in row.texts if is_size(text.text)]


def label_prices(rows: Sequence[Row]) -> None:
    """Give prices without a size that of the heading over them, where at least two headings stand side by side."""
    headings = size_headings(rows)
    columns = [
        heading for heading in headings if any(other is not heading and _level(other, heading) for other in headings)
    ]
    for row in rows:
        if len(row.prices) > 1:
            row.price_pieces = [_labelled(piece, columns) for piece in row.price_pieces]


def _labelled(piece: PricePiece, columns: Sequence[TextPiece]) -> PricePiece:
    width = (piece.x1 - piece.x0) / len(piece.prices)
    labels = [
        label or _heading_over(piece.x0 + (index + 0.5) * width, piece.y, piece.height, columns)
        for index, label in enumerate(piece.labels)
    ]
    return replace(piece, labels=tuple(labels))


def _heading_over(x: float, y: float, height: float, columns: Sequence[TextPiece]) -> str:
    above = [heading for heading in columns if heading.y < y and heading.x0 - height <= x <= heading.x1 + height]
    nearest = max(above, key=lambda heading: heading.y, default=None)
    return nearest.text if nearest is not None else ""


def _level(one: TextPiece, other: TextPiece) -> bool:
    return abs(one.y - other.y) <= SAME_LEVEL * max(one.height, other.height)
