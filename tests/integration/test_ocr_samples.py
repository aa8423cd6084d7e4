"""The real engine reads every sample menu without a mistake, and every odd picture ends in a clear outcome."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image

from jobqueue.demo.make_menus import FOLDER, SAMPLES
from jobqueue.extraction import ExtractionOutcome, Extractor, ImageInput, PermanentExtractionError
from jobqueue.menu_result import validate_result
from worker.extractors.ocr import OcrExtractor

Progress = list[tuple[str, float]]


def extract(data: bytes, schema_version: str = "stage1") -> tuple[ExtractionOutcome, Progress]:
    progress: Progress = []
    image = ImageInput(data, "image/jpeg", "", "https://menus.example/menu.jpg", 0, 0)
    outcome = OcrExtractor().extract(
        image,
        schema_version=schema_version,
        prompt_version="v1.0",
        report=lambda stage, fraction: progress.append((stage, fraction)),
    )
    return outcome, progress


def plain(menu: dict[str, Any]) -> list[tuple[str, list[tuple[str, float, str]]]]:
    return [
        (
            category["name"].casefold(),
            [(item["name"], item["price"], item.get("description", "")) for item in category["items"]],
        )
        for category in menu["categories"]
    ]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_item_price_category_and_currency_of_a_sample_is_right(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    truth = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    outcome, progress = extract((FOLDER / f"{name}.jpg").read_bytes())
    result = validate_result(outcome.result, "stage1")
    assert plain(result["menu"]) == plain(truth["menu"])
    assert result["currency"] == truth["currency"]
    assert outcome.confidence > 0.8
    dishes = " ".join(item["name"] for category in result["menu"]["categories"] for item in category["items"])
    assert not any(text in dishes for text in truth["superfluousText"])

    assert list(dict.fromkeys(stage for stage, _ in progress)) == ["reading", "recognising", "structuring"]
    for stage in ("reading", "recognising", "structuring"):
        fractions = [fraction for reported, fraction in progress if reported == stage]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
    assert capfd.readouterr() == ("", "")


def _sample(change: str) -> bytes:
    image = Image.open(FOLDER / "one_column.jpg").crop((0, 0, 1000, 690))  # the first section
    buffer = io.BytesIO()
    if change == "turned, said by EXIF":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", exif=exif, quality=90)
    elif change == "grey":
        image.convert("L").save(buffer, "JPEG", quality=90)
    elif change == "CMYK":
        image.convert("CMYK").save(buffer, "JPEG", quality=90)
    elif change == "palette with transparency":
        image.quantize(32).save(buffer, "PNG", transparency=0)
    elif change == "animated":
        image.save(buffer, "WEBP", save_all=True, append_images=[Image.new("RGB", image.size)], quality=90)
    return buffer.getvalue()


@pytest.mark.parametrize("change", ["turned, said by EXIF", "grey", "CMYK", "palette with transparency", "animated"])
def test_a_sample_in_another_guise_is_read_too(change: str) -> None:
    truth = json.loads((FOLDER / "one_column.json").read_text(encoding="utf-8"))
    outcome, _ = extract(_sample(change), "stage2")
    validate_result(outcome.result, "stage2")
    assert plain(outcome.result["menu"]) == plain(truth["menu"])[:1]


@pytest.mark.parametrize("size", [(10, 10), (900, 700), (3000, 20)])
def test_an_empty_picture_is_no_menu(size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, (250, 250, 250)).save(buffer, "PNG")
    with pytest.raises(PermanentExtractionError, match="does not seem to show a menu") as refused:
        extract(buffer.getvalue())
    assert refused.value.code == "NO_MENU_FOUND"


def test_it_is_an_extractor() -> None:
    assert isinstance(OcrExtractor(), Extractor)
    assert OcrExtractor.name == "ocr"


def test_making_an_extractor_loads_no_engine() -> None:
    """A prefork parent imports the extractor; an engine's threads would not survive the fork."""
    check = (
        "import sys; from worker.extractors.ocr import OcrExtractor; OcrExtractor(); "
        "sys.exit(bool({'rapidocr', 'onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
