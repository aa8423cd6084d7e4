"""The default extractor: reads a menu on the CPU, without any service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobqueue.extraction import ExtractionOutcome, ImageInput, PermanentExtractionError, ProgressReport
from worker.extractors.ocr.engine import read_places
from worker.extractors.ocr.layout import Layout, understand
from worker.extractors.ocr.reading import Reading, read_picture
from worker.extractors.ocr.result import build_result


@dataclass(frozen=True, slots=True)
class Seen:
    """What every stage made of a picture. ``refusal`` says why there is no menu in ``result``, if there is none."""

    reading: Reading
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
    layout = understand(reading.lines, lambda places: read_places(reading.without_leaders, places))
    result, confidence = build_result(layout.menu, layout.linked, schema_version)
    report("structuring", 1.0)
    return Seen(reading, layout, result, confidence, _refusal(reading, result))


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

        Raises ``PermanentExtractionError`` with code ``IMAGE_REJECTED`` when the picture cannot be decoded and
        ``NO_MENU_FOUND`` when it shows no dish with a price.
        """
        seen = look(image.data, schema_version, report)
        if seen.refusal is not None:
            raise seen.refusal
        return ExtractionOutcome(result=seen.result, confidence=seen.confidence)


def _refusal(reading: Reading, result: dict[str, Any]) -> PermanentExtractionError | None:
    if result["menu"]["categories"]:
        return None
    found = "no dish with a price was found in its text" if reading.lines else "no text could be read in it"
    return PermanentExtractionError(
        f"This picture does not seem to show a menu: {found}. Send a sharp, upright picture of the menu.",
        code="NO_MENU_FOUND",
    )
