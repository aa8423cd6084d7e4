"""Reads the lines once more of which the engine is not sure, smoothed.

In a dark or strongly compressed picture the grain looks to the engine like strokes; smoothed away, the letters remain.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.extractors.ocr.engine import FoundText, recognise
from worker.extractors.ocr.text_line import ReadLine

SURE = 0.9
"""Lines read with at least this score stay as they are."""


def read_faint_lines_again(found: Sequence[FoundText], read: Sequence[ReadLine]) -> list[ReadLine]:
    """``read``, what stands in the places of ``found``, each line in the better of its two readings."""
    faint = [index for index, line in enumerate(read) if line.score < SURE]
    lines = list(read)
    for index, again in zip(faint, recognise([found[index].smoothed() for index in faint]), strict=True):
        lines[index] = max(lines[index], again, key=lambda line: line.score)
    return lines
