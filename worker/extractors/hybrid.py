"""The extractor ``hybrid``: OCR first, the model only where the OCR is unsure or the user asks for it."""

from __future__ import annotations

import logging
import threading

from jobqueue.extraction import ExtractionOutcome, Extractor, ImageInput, PermanentExtractionError, ProgressReport
from jobqueue.settings import Settings, load_settings
from worker.extractors.llm.extractor import LlmExtractor
from worker.extractors.llm.prompt_files import asks_for_model, prompt_text
from worker.extractors.ocr import OcrExtractor

log = logging.getLogger(__name__)


class HybridExtractor:
    """Serves any number of threads at once: one of them recognises text, the others wait for the model."""

    name = "hybrid"

    def __init__(self, settings: Settings | None = None, ocr: Extractor | None = None) -> None:
        """``ocr`` is what reads first. Raises ``InvalidInputError`` for a setting that is missing or wrong."""
        settings = settings or load_settings()
        self._threshold = settings.hybrid_threshold
        self._ocr = ocr or OcrExtractor()
        self._llm = LlmExtractor(settings)
        # The engine uses all the cores it is given and takes its memory once for each picture at a time.
        self._recognising = threading.Lock()

    def close(self) -> None:
        """Close the connections to the provider."""
        self._llm.close()

    def extract(
        self, image: ImageInput, *, schema_version: str, prompt_version: str, report: ProgressReport
    ) -> ExtractionOutcome:
        """The menu in the picture, as the OCR or, where that is unsure of it, the model reads it.

        A ``prompt_version`` that ends in ``+model`` goes to the model at once. Raises what the model raises, unless
        there is an OCR result to stand and the model can give none.
        """
        prompt_text(prompt_version)

        def ask_model() -> ExtractionOutcome:
            return self._llm.extract(image, schema_version=schema_version, prompt_version=prompt_version, report=report)

        if asks_for_model(prompt_version):
            return ask_model()
        read = self._read(image, schema_version, prompt_version, report)
        if read is None:
            return ask_model()
        if read.confidence >= self._threshold:
            return read
        try:
            return ask_model()
        except PermanentExtractionError as error:
            if error.code == "NO_MENU_FOUND":
                raise
            log.warning("The model gave no answer (%s); the OCR result stands.", error.code)
            return _standing(read, error)

    def _read(
        self, image: ImageInput, schema_version: str, prompt_version: str, report: ProgressReport
    ) -> ExtractionOutcome | None:
        """What the OCR reads; ``None`` when it finds no menu, which may be its own fault."""
        with self._recognising:
            try:
                return self._ocr.extract(
                    image, schema_version=schema_version, prompt_version=prompt_version, report=report
                )
            except PermanentExtractionError as error:
                if error.code == "IMAGE_REJECTED":
                    raise
                return None


def _standing(read: ExtractionOutcome, error: PermanentExtractionError) -> ExtractionOutcome:
    """The OCR result with a remark that it is unsure and why nobody looked a second time."""
    remark = {
        "text": "",
        "reason": f"This reading is unsure and the model could not check it ({error.code}): {error.message}",
        "confidence": read.confidence,
    }
    result = {**read.result, "uncertainItems": [*read.result.get("uncertainItems", []), remark]}
    return ExtractionOutcome(result, read.confidence, error.token_usage)
