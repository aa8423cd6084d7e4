"""The extractor ``hybrid``: the real OCR on the project's samples, a model server on loopback."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from PIL import Image

from jobqueue.demo.make_menus import FOLDER
from jobqueue.extraction import ExtractionOutcome, ImageInput, PermanentExtractionError, TransientExtractionError
from jobqueue.outcome_check import check_outcome
from jobqueue.settings import load_settings
from tests.model_server import OpenAiServer, Refused, Reply, Said
from tests.scripted_extractor import RESULT
from worker.extractors.hybrid import HybridExtractor


class Reader:
    """Reads the first section of a sample, which the OCR is sure of."""

    def __init__(self, server: OpenAiServer, threshold: float) -> None:
        self.server = server
        self._extractor = HybridExtractor(
            load_settings(
                llm_model=server.model,
                llm_base_url=server.base_url,
                llm_api_key="sk",
                hybrid_threshold=threshold,
            )
        )

    def extract(self, prompt_version: str = "v1.0", data: bytes | None = None) -> ExtractionOutcome:
        image = ImageInput(data or sample(), "image/jpeg", "", "https://x.example/m", 0, 0)
        outcome = self._extractor.extract(
            image, schema_version="stage1", prompt_version=prompt_version, report=lambda _stage, _fraction: None
        )
        check_outcome(outcome, "stage1")
        return outcome

    def close(self) -> None:
        self._extractor.close()


def sample() -> bytes:
    buffer = io.BytesIO()
    Image.open(FOLDER / "one_column.jpg").crop((0, 0, 1000, 480)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def blank() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(buffer, "PNG")
    return buffer.getvalue()


MakeReader = Callable[..., Reader]
SURE_ENOUGH, NEVER_SURE = 0.3, 1.0


@pytest.fixture
def reader() -> Iterator[MakeReader]:
    with ExitStack() as running:

        def make(threshold: float, *replies: Reply) -> Reader:
            server = OpenAiServer(*replies)
            running.enter_context(server.running())
            made = Reader(server, threshold)
            running.callback(made.close)
            return made

        yield make


def names(outcome: ExtractionOutcome) -> list[Any]:
    return [item["name"] for category in outcome.result["menu"]["categories"] for item in category["items"]]


def test_a_reading_that_is_sure_enough_costs_no_call(reader: MakeReader) -> None:
    made = reader(SURE_ENOUGH, Said(RESULT))
    outcome = made.extract()
    assert "Smoked Trout Toast" in names(outcome)
    assert (outcome.token_usage, made.server.requests) == (None, [])


def test_an_unsure_reading_is_left_to_the_model(reader: MakeReader) -> None:
    made = reader(NEVER_SURE, Said(RESULT))
    outcome = made.extract()
    assert outcome.result == RESULT
    assert outcome.token_usage is not None


def test_the_user_may_ask_for_the_model(reader: MakeReader) -> None:
    made = reader(SURE_ENOUGH, Said(RESULT), Refused(401))
    assert made.extract("v1.0+model").result == RESULT
    with pytest.raises(PermanentExtractionError) as failed:
        made.extract("v1.0+model")
    assert failed.value.code == "PROVIDER_REFUSED_KEY"


def test_where_the_ocr_finds_no_menu_the_model_looks(reader: MakeReader) -> None:
    assert reader(SURE_ENOUGH, Said(RESULT)).extract(data=blank()).result == RESULT
    with pytest.raises(PermanentExtractionError) as failed:
        reader(SURE_ENOUGH, Refused(404)).extract(data=blank())
    assert failed.value.code == "UNKNOWN_MODEL"


def test_when_the_model_cannot_answer_the_reading_stands_and_says_so(reader: MakeReader) -> None:
    made = reader(NEVER_SURE, Said({"dishes": []}))
    outcome = made.extract()
    assert "Smoked Trout Toast" in names(outcome)
    remark = outcome.result["uncertainItems"][-1]
    assert "INVALID_RESULT" in remark["reason"]
    assert remark["confidence"] == outcome.confidence
    assert outcome.token_usage is not None
    assert outcome.token_usage["inputTokens"] == 2000


def test_a_model_that_sees_no_menu_is_believed(reader: MakeReader) -> None:
    with pytest.raises(PermanentExtractionError) as failed:
        reader(NEVER_SURE, Said({"menu": {"categories": []}, "currency": "USD"})).extract()
    assert failed.value.code == "NO_MENU_FOUND"


def test_a_model_that_is_busy_is_asked_again_later(reader: MakeReader) -> None:
    with pytest.raises(TransientExtractionError) as failed:
        reader(NEVER_SURE, Refused(429, {"Retry-After": "5"})).extract()
    assert failed.value.retry_after == 5


def test_an_unknown_prompt_is_refused_whatever_the_ocr_thinks(reader: MakeReader) -> None:
    with pytest.raises(PermanentExtractionError) as failed:
        reader(SURE_ENOUGH, Said(RESULT)).extract("v7")
    assert failed.value.code == "UNKNOWN_PROMPT_VERSION"


def test_a_picture_that_cannot_be_read_is_not_sent(reader: MakeReader) -> None:
    made = reader(SURE_ENOUGH, Said(RESULT))
    with pytest.raises(PermanentExtractionError) as failed:
        made.extract(data=b"no picture")
    assert (failed.value.code, made.server.requests) == ("IMAGE_REJECTED", [])
