"""What the extractor ``hybrid`` saves in calls of the model, on a folder of pictures with recorded answers of a model.

    python -m benchmarks.hybrid PICTURES --recorded ANSWERS --out RESULTS

``ANSWERS/STEM.json`` is what a model once said of ``PICTURES/STEM.jpg``, as a ``stage1`` result. A server on the
loopback interface gives it again when it is sent that very picture, so every run gives the same, for nothing.
``RESULTS`` gets a folder of results for the OCR alone, for the model alone and for each threshold, to be scored against
the truth.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from jobqueue.extraction import (
    ExtractionOutcome,
    Extractor,
    ImageInput,
    PermanentExtractionError,
    ProgressReport,
    TransientExtractionError,
)
from jobqueue.fetch.picture_check import check_picture
from jobqueue.settings import Settings, load_settings
from tests.model_server import OpenAiServer, Refused, Request, Said
from worker.extractors.hybrid import HybridExtractor
from worker.extractors.llm.extractor import LlmExtractor
from worker.extractors.llm.picture import picture_to_send
from worker.extractors.ocr import OcrExtractor

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
ENDINGS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
# Of the answers' length, as four characters make a token; a picture of a menu costs about this many.
CHARACTERS_PER_TOKEN, TOKENS_PER_PICTURE = 4, 1500


@dataclass(slots=True)
class Remembered:
    """The OCR, which reads each picture once however many thresholds are tried."""

    name: str = "ocr"
    _ocr: OcrExtractor = field(default_factory=OcrExtractor)
    _known: dict[str, ExtractionOutcome | PermanentExtractionError] = field(default_factory=dict)

    def extract(
        self, image: ImageInput, *, schema_version: str, prompt_version: str, report: ProgressReport
    ) -> ExtractionOutcome:
        if image.sha256 not in self._known:
            try:
                self._known[image.sha256] = self._ocr.extract(
                    image, schema_version=schema_version, prompt_version=prompt_version, report=report
                )
            except PermanentExtractionError as error:
                self._known[image.sha256] = error
        found = self._known[image.sha256]
        if isinstance(found, PermanentExtractionError):
            raise found
        return found


def load_pictures(folder: Path) -> dict[str, ImageInput]:
    found: dict[str, ImageInput] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in ENDINGS:
            data = path.read_bytes()
            checked = check_picture(data, load_settings().max_image_pixels)
            sha256 = hashlib.sha256(data).hexdigest()
            found[path.stem] = ImageInput(data, checked.media_type, sha256, "", checked.width, checked.height)
    return found


def recorded_answers(pictures: dict[str, ImageInput], folder: Path) -> dict[str, Any]:
    """The answers by the SHA-256 of the picture as it is sent."""
    return {
        hashlib.sha256(picture_to_send(image)[0]).hexdigest(): json.loads((folder / f"{stem}.json").read_text("utf-8"))
        for stem, image in pictures.items()
        if (folder / f"{stem}.json").exists()
    }


def replaying(server: OpenAiServer, answers: dict[str, Any]) -> Callable[[Request], Said | Refused]:
    def reply(request: Request) -> Said | Refused:
        sent = hashlib.sha256(base64.b64decode(server.picture(request)[1])).hexdigest()
        if sent not in answers:
            return Refused(400)
        length = len(json.dumps(answers[sent]))
        return Said(answers[sent], input_tokens=TOKENS_PER_PICTURE, output_tokens=length // CHARACTERS_PER_TOKEN)

    return reply


def run(name: str, extractor: Extractor, pictures: dict[str, ImageInput], server: OpenAiServer, out: Path) -> None:
    """Extract all pictures, write the results to ``out/name`` and print what they cost."""
    server.requests.clear()
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    cost = 0.0
    failed = 0
    for stem, image in pictures.items():
        try:
            outcome = extractor.extract(
                image, schema_version="stage1", prompt_version="v1.0", report=lambda _stage, _fraction: None
            )
        except (PermanentExtractionError, TransientExtractionError):
            failed += 1
            outcome = ExtractionOutcome({"menu": {"categories": []}, "currency": "USD"}, 0.0)
        usage = outcome.token_usage or {}
        cost += usage.get("estimatedCost") or 0.0
        written = {**outcome.result, "confidence": outcome.confidence}
        (folder / f"{stem}.json").write_text(json.dumps(written, ensure_ascii=False), "utf-8")
    share = len(server.requests) / len(pictures)
    print(f"{name:12} {len(server.requests):5} calls {share:6.0%}   ${cost:.3f}   {failed} without a result")


def settings_for(server: OpenAiServer, threshold: float) -> Settings:
    return load_settings(
        llm_model=server.model, llm_base_url=server.base_url, llm_api_key="recorded", hybrid_threshold=threshold
    )


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--recorded", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--threshold", "thresholds", type=float, multiple=True, default=THRESHOLDS, show_default=True)
def main(folder: Path, recorded: Path, out: Path, thresholds: tuple[float, ...]) -> None:
    pictures = load_pictures(folder)
    if not pictures:
        raise click.UsageError(f"{folder} holds no pictures.")
    server = OpenAiServer()
    server.replies = [replaying(server, recorded_answers(pictures, recorded))]
    ocr = Remembered()
    with server.running():
        run("ocr", ocr, pictures, server, out)
        llm = LlmExtractor(settings_for(server, 1.0))
        run("model", llm, pictures, server, out)
        llm.close()
        for threshold in thresholds:
            hybrid = HybridExtractor(settings_for(server, threshold), ocr)
            run(f"hybrid-{threshold:g}", hybrid, pictures, server, out)
            hybrid.close()


if __name__ == "__main__":
    main()
