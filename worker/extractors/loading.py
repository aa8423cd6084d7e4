"""Finding the extractor that JOBQUEUE_EXTRACTOR names."""

from __future__ import annotations

import importlib
from typing import Any

from jobqueue.errors import InvalidInputError
from jobqueue.extraction import Extractor

BUILT_IN = {
    "ocr": "worker.extractors.ocr:OcrExtractor",
    "llm": "worker.extractors.llm.extractor:LlmExtractor",
    "hybrid": "worker.extractors.hybrid:HybridExtractor",
}
EXTRAS = {"ocr": "ocr", "llm": "llm", "hybrid": "ocr,llm"}


def load_extractor(name: str) -> Extractor:
    """The extractor called ``name``, or at ``package.module:attribute`` (an instance, a class or a factory).

    Raises ``InvalidInputError`` when there is none.
    """
    path = BUILT_IN.get(name, name)
    module_name, _, attribute = path.partition(":")
    if not module_name or module_name.startswith(".") or not attribute:
        known = ", ".join(BUILT_IN)
        raise _wrong(f"{name!r} is neither {known} nor of the form package.module:attribute")
    try:
        found: Any = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        extra = f"; install menu-jobqueue[{EXTRAS[name]}]" if name in EXTRAS else ""
        raise _wrong(f"{name!r} needs the module {error.name}, which is not installed{extra}") from None
    except AttributeError:
        raise _wrong(f"{module_name} has no {attribute}") from None
    if isinstance(found, type) or (callable(found) and not hasattr(found, "extract")):
        found = found()
    if not isinstance(found, Extractor):
        raise _wrong(f"{path} has no name and extract(), so it is not an extractor")
    return found


def _wrong(reason: str) -> InvalidInputError:
    return InvalidInputError(f"JOBQUEUE_EXTRACTOR is wrong: {reason}.", setting="JOBQUEUE_EXTRACTOR")
