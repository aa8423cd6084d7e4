"""``jobqueue explain``: reads one picture and draws what each stage saw onto it. No queue takes part."""

from __future__ import annotations

import sys
from pathlib import Path

from jobqueue.extraction import PermanentExtractionError
from worker.extractors.ocr.drawing import draw
from worker.extractors.ocr.extractor import look


def explain(picture: Path, drawing: Path) -> str:
    """Write the PNG ``drawing`` and return a sentence on what was found.

    Raises ``OSError`` when a file cannot be read or written and ``PermanentExtractionError`` when ``picture`` is none.
    """
    seen = look(picture.read_bytes(), "stage2", lambda _stage, _fraction: None)
    draw(seen).save(drawing, "PNG")
    categories = seen.result["menu"]["categories"]
    dishes = sum(len(category["items"]) for category in categories)
    found = (
        str(seen.refusal)
        if seen.refusal is not None
        else f"{dishes} dishes in {len(categories)} sections, confidence {seen.confidence:.2f}."
    )
    return f"{found} The drawing is in {drawing}."


def main(arguments: list[str]) -> int:
    """The process's exit code: 0 drawn, 1 refused or not written."""
    picture, drawing = Path(arguments[0]), Path(arguments[1])
    try:
        sys.stdout.write(f"{explain(picture, drawing)}\n")
    except PermanentExtractionError as error:
        return _failed(str(error), 1)
    except OSError as error:
        return _failed(f"{error.filename or drawing}: {error.strerror or error}.", 1)
    return 0


def _failed(sentence: str, code: int) -> int:
    sys.stderr.write(f"Error: {sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
