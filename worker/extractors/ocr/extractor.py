"""The default extractor: reads a menu on the CPU, without any service."""

from __future__ import annotations

from jobqueue.extraction import ExtractionOutcome, ImageInput, PermanentExtractionError, ProgressReport
from worker.extractors.ocr.engine import read_lines, read_places
from worker.extractors.ocr.layout import understand
from worker.extractors.ocr.leaders import erase_leaders
from worker.extractors.ocr.picture import decode_picture
from worker.extractors.ocr.result import build_result


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
        report("reading", 0.0)
        picture = decode_picture(image.data)
        report("reading", 0.5)
        picture = erase_leaders(picture)
        report("reading", 1.0)
        report("recognising", 0.0)
        lines = read_lines(picture, lambda fraction: report("recognising", fraction))
        report("recognising", 1.0)
        report("structuring", 0.0)
        layout = understand(lines, lambda places: read_places(picture, places))
        result, confidence = build_result(layout.menu, layout.linked, schema_version)
        report("structuring", 1.0)
        if not result["menu"]["categories"]:
            found = "no text could be read in it" if not lines else "no dish with a price was found in its text"
            raise PermanentExtractionError(
                f"This picture does not seem to show a menu: {found}. Send a sharp, upright picture of the menu.",
                code="NO_MENU_FOUND",
            )
        return ExtractionOutcome(result=result, confidence=confidence)
