"""The default extractor: reads a menu on the CPU, without any service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobqueue.extraction import ExtractionOutcome, ImageInput, PermanentExtractionError, ProgressReport
from worker.extractors.ocr.engine import read_places
from worker.extractors.ocr.layout import Layout, understand
from worker.extractors.ocr.legibility import Legibility, judge, unread_items
from worker.extractors.ocr.reading import Reading, read_picture
from worker.extractors.ocr.result import build_result

SMALL = 600
"""A picture with a shorter long side hardly holds a menu that can be read."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What every stage made of a picture. ``refusal`` says why there is no menu in ``result``, if there is none."""

    reading: Reading
    legible: Legibility
    layout: Layout
    result: dict[str, Any]
    confidence: float
    refusal: PermanentExtractionError | None


def look(data: bytes, schema_version: str, report: ProgressReport) -> Seen:
    """Go through all stages.

    Raises ``PermanentExtractionError`` with code ``IMAGE_REJECTED`` when the picture cannot be decoded.
    """
    reading = read_picture(data, report)
    report("structuring", 0.0)
    legible = judge(reading.lines, reading.blanks)
    layout = understand(legible.lines, lambda places: read_places(reading.without_leaders, places))
    result, confidence = build_result(layout.menu, layout.linked, schema_version)
    result["uncertainItems"] += unread_items(legible)
    report("structuring", 1.0)
    return Seen(reading, legible, layout, result, confidence, _refusal(reading, legible, result))


class OcrExtractor:
    """Recognises the text of the picture and understands its layout. ``prompt_version`` means nothing to it."""

    name = "ocr"

    def extract(
        self,
        image: ImageInput,
        *,
        schema_version: str,
        prompt_version: str,  # noqa: ARG002 - part of what an extractor is
        report: ProgressReport,
    ) -> ExtractionOutcome:
        """The menu in the picture.

        Raises ``PermanentExtractionError`` with code ``IMAGE_REJECTED`` when the picture cannot be decoded,
        ``SCRIPT_NOT_SUPPORTED`` when most of its text cannot be read, and ``NO_MENU_FOUND`` when it shows no dish
        with a price.
        """
        seen = look(image.data, schema_version, report)
        if seen.refusal is not None:
            raise seen.refusal
        return ExtractionOutcome(result=seen.result, confidence=seen.confidence)


def _refusal(reading: Reading, legible: Legibility, result: dict[str, Any]) -> PermanentExtractionError | None:
    if legible.hopeless:
        return PermanentExtractionError(
            "Most of the text in this picture is in a script, or has letters, that the OCR extractor cannot read: "
            "it reads Latin letters (without those only Vietnamese has), Chinese and Japanese.",
            code="SCRIPT_NOT_SUPPORTED",
        )
    if result["menu"]["categories"]:
        return None
    if reading.lines:
        found = "no dish with a price was found in its text"
    elif reading.blanks:
        found = "its text could not be read"
    else:
        found = "no text could be read in it"
    if max(reading.picture.width, reading.picture.height) < SMALL:
        advice = f"It is very small: send one of at least {SMALL} pixels along its longer side."
    else:
        advice = "Send a sharp picture of the menu."
    return PermanentExtractionError(f"This picture does not seem to show a menu: {found}. {advice}", "NO_MENU_FOUND")
