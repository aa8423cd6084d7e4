"""From the bytes of a picture to its lines of text, the right way up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from jobqueue.extraction import ProgressReport
from worker.extractors.ocr.engine import LINES_AT_ONCE, FoundText, find_text, recognise
from worker.extractors.ocr.faint_lines import read_faint_lines_again
from worker.extractors.ocr.leaders import erase_leaders
from worker.extractors.ocr.orientation import lies_sideways, quarters_to_turn
from worker.extractors.ocr.picture import Picture, decode_picture
from worker.extractors.ocr.text_line import ReadLine

LINES_TRIED = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read. All places are those in ``picture``, which was turned by ``quarters``, counter-clockwise.

    ``without_leaders`` is the same picture as the engine was shown it. ``blanks`` are places where the detector saw
    text of which nothing could be read.
    """

    picture: Picture
    without_leaders: Picture
    quarters: int
    lines: list[ReadLine]
    blanks: list[ReadLine]


def read_picture(data: bytes, report: ProgressReport) -> Reading:
    """Decode the picture and read it, turned if its text says that it lies sideways or upside down.

    Raises ``PermanentExtractionError`` with code ``IMAGE_REJECTED`` when the picture cannot be decoded.
    """
    report("reading", 0.0)
    picture = decode_picture(data)
    report("reading", 0.5)
    without_leaders = erase_leaders(picture)
    report("reading", 1.0)
    report("recognising", 0.0)
    found = find_text(without_leaders)
    read = recognise(found[:LINES_AT_ONCE])
    quarters = _quarters_to_turn(found[:LINES_AT_ONCE], read, lies_sideways([(t.is_tall, t.length) for t in found]))
    if quarters:
        picture = picture.turned(quarters)
        without_leaders = erase_leaders(picture)
        found, read = find_text(without_leaders), []
    read += recognise(found[len(read) :], lambda fraction: report("recognising", fraction))
    read = read_faint_lines_again(found, read)
    report("recognising", 1.0)
    lines = [line for line in read if line.text]
    return Reading(picture, without_leaders, quarters, lines, [line for line in read if not line.text])


def _quarters_to_turn(found: Sequence[FoundText], read: Sequence[ReadLine], sideways: bool) -> int:
    if not found:
        return 0

    def score_upside_down() -> float:
        return fmean(line.score for line in recognise([text.upside_down() for text in found[:LINES_TRIED]]))

    return quarters_to_turn(sideways, fmean(line.score for line in read[:LINES_TRIED]), score_upside_down)
