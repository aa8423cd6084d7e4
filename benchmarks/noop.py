"""An extractor that does nothing, so that only the queue is measured."""

from __future__ import annotations

from jobqueue.extraction import ExtractionOutcome, ImageInput, ProgressReport

RESULT = {
    "menu": {
        "categories": [
            {"name": "Soups", "items": [{"name": "Miso", "price": 4.5, "confidence": 0.9}], "confidence": 0.9}
        ]
    },
    "currency": "EUR",
    "uncertainItems": [],
    "superfluousText": [],
}


class NoopExtractor:
    name = "noop"

    def extract(
        self, image: ImageInput, *, schema_version: str, prompt_version: str, report: ProgressReport
    ) -> ExtractionOutcome:
        return ExtractionOutcome(RESULT, 0.9)
