"""Runs the OCR extractor over a folder of pictures: results for a scorer, and what they cost.

    python -m benchmarks.extraction FOLDER --out FOLDER [--stage stage2] [--threads N]

For every picture STEM.json is written: its ``result`` with ``confidence`` and ``seconds`` beside it at the top, and
``errorCode`` where the picture failed. Then each picture is read once more by the bare engine, in the same
process, so that the two can be compared.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobqueue.extraction import ImageInput, PermanentExtractionError
from jobqueue.menu_result import SCHEMAS
from worker.extractors.ocr import OcrExtractor, engine
from worker.extractors.ocr.picture import decode_picture

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
EMPTY: dict[str, Any] = {"menu": {"categories": []}, "currency": None, "uncertainItems": [], "superfluousText": []}


@dataclass(slots=True)
class Costs:
    """Seconds of each picture: by the extractor, and by the engine alone."""

    extractor: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)

    def lines(self) -> list[str]:
        if not self.engine:
            return ["None of these files is a picture."]
        bare, whole = sum(self.engine), sum(self.extractor)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return [
            f"{len(self.extractor)} pictures: median {statistics.median(self.extractor):.2f} s, "
            f"p90 {percentile(self.extractor, 0.9):.2f} s, peak memory {peak:.0f} MiB",
            f"extractor {len(self.extractor) / whole:.3f} pictures/s, bare engine {len(self.engine) / bare:.3f}: "
            f"{bare / whole:.2f} of its throughput",
        ]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of all are not above."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def extract(picture: Path, stage: str) -> dict[str, Any]:
    """What is written for one picture."""
    image = ImageInput(picture.read_bytes(), "", "", "", 0, 0)
    began = time.perf_counter()
    try:
        outcome = OcrExtractor().extract(
            image, schema_version=stage, prompt_version="v1.0", report=lambda _stage, _fraction: None
        )
        answer = {"confidence": outcome.confidence, **outcome.result}
    except PermanentExtractionError as error:
        answer = {"confidence": 0.0, **EMPTY, "errorCode": error.code}
    except Exception:  # noqa: BLE001 - the worker's answer to what nobody expected, without ending the run
        traceback.print_exc()
        answer = {"confidence": 0.0, **EMPTY, "errorCode": "EXTRACTION_FAILED"}
    return {"seconds": round(time.perf_counter() - began, 3), **answer}


def read_bare(picture: Path) -> float | None:
    """Seconds that the engine alone takes: decoded, detected, recognised; ``None`` for what is no picture."""
    began = time.perf_counter()
    try:
        decoded = decode_picture(picture.read_bytes())
    except PermanentExtractionError:
        return None
    engine.recognise(engine.find_text(decoded))
    return time.perf_counter() - began


def pictures_in(folder: Path, parser: argparse.ArgumentParser) -> list[Path]:
    """The pictures of a folder by their names; without any, the program ends with one sentence."""
    pictures = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not pictures:
        parser.error(f"there is no JPEG, PNG or WebP in {folder}")
    return pictures


def load_models(pictures: Sequence[Path]) -> None:
    """Read the first picture that can be read, as a worker does once, so that loading counts for none of them."""
    next(filter(None, map(read_bare, pictures)), None)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--stage", choices=sorted(SCHEMAS), default="stage1")
    parser.add_argument("--threads", type=int, default=engine.THREADS, help="of the engine")
    asked = parser.parse_args(arguments)
    pictures = pictures_in(asked.folder, parser)
    asked.out.mkdir(parents=True, exist_ok=True)
    engine.THREADS = asked.threads
    load_models(pictures)
    costs = Costs()
    for picture in pictures:
        answer = extract(picture, asked.stage)
        (asked.out / f"{picture.stem}.json").write_text(json.dumps(answer, ensure_ascii=False, indent=1), "utf-8")
        if (bare := read_bare(picture)) is not None:
            costs.extractor.append(answer["seconds"])
            costs.engine.append(bare)
        dishes = sum(len(category["items"]) for category in answer["menu"]["categories"])
        print(f"{picture.name}: {answer.get('errorCode') or f'{dishes} dishes'}, {answer['seconds']:.2f} s", flush=True)
    print("\n".join(costs.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
