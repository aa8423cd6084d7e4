"""The extractor ``hybrid``: the real OCR on the project's samples, a model server on loopback."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest
from PIL import Image

from jobqueue.demo.make_menus import FOLDER
from jobqueue.extraction import (
    ExtractionOutcome,
    ImageInput,
    PermanentExtractionError,
    ProgressReport,
    TransientExtractionError,
)
from jobqueue.outcome_check import check_outcome
from jobqueue.settings import load_settings
from tests.model_server import OpenAiServer, Refused, Reply, Said
from tests.sample_pictures import drawn_menu, encoded
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

    def extract(
        self,
        prompt_version: str = "v1.0",
        data: bytes | None = None,
        schema_version: str = "stage1",
        report: ProgressReport = lambda _stage, _fraction: None,
    ) -> ExtractionOutcome:
        image = ImageInput(data or sample(), "image/jpeg", "", "https://x.example/m", 0, 0)
        outcome = self._extractor.extract(
            image, schema_version=schema_version, prompt_version=prompt_version, report=report
        )
        check_outcome(outcome, schema_version)
        return outcome

    def close(self) -> None:
        self._extractor.close()


def sample() -> bytes:
    buffer = io.BytesIO()
    Image.open(FOLDER / "one_column.jpg").crop((0, 0, 1000, 480)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def menu_of_sizes() -> bytes:
    """A page of which the OCR is unsure: each dish in two sizes, and one that has lost its prices."""
    return drawn_menu(
        ("Leek Soup", "$4.00", "$6.50"), ("Plum Cake",), ("Beet Tart", "$5.00", "$7.00"), ("Rye Bread", "$3", "$4")
    )


def blank() -> bytes:
    return encoded(Image.new("RGB", (300, 200), "white"), "PNG")


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


def test_a_reading_just_as_sure_as_asked_is_sure_enough(reader: MakeReader) -> None:
    confidence = reader(SURE_ENOUGH, Said(RESULT)).extract().confidence
    made = reader(confidence, Said(RESULT))
    assert made.extract().confidence == confidence
    assert made.server.requests == []


def test_an_unsure_reading_is_left_to_the_model(reader: MakeReader) -> None:
    made = reader(NEVER_SURE, Said(RESULT))
    outcome = made.extract()
    assert outcome.result == RESULT
    assert outcome.token_usage is not None


def test_both_give_the_shape_that_was_asked_for(reader: MakeReader) -> None:
    made = reader(NEVER_SURE, Said(RESULT), Said({"dishes": []}))
    assert made.extract(schema_version="stage2").result == RESULT
    assert "variants" in str(made.server.tool_schema(made.server.requests[0]))
    stands = made.extract(data=menu_of_sizes(), schema_version="stage2").result
    assert [len(item["variants"]) for item in stands["menu"]["categories"][0]["items"]] == [2, 2, 2]


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


def test_when_the_model_cannot_answer_the_reading_stands_and_says_so(
    reader: MakeReader, caplog: pytest.LogCaptureFixture
) -> None:
    made = reader(NEVER_SURE, Said({"dishes": []}))
    outcome = made.extract()
    assert "INVALID_RESULT" in caplog.messages[-1]
    assert "Smoked Trout Toast" in names(outcome)
    remark = outcome.result["uncertainItems"][-1]
    assert "INVALID_RESULT" in remark["reason"]
    assert remark["confidence"] == outcome.confidence
    assert outcome.token_usage is not None
    assert outcome.token_usage["inputTokens"] == 2000


def test_what_the_reading_left_undecided_stands_too(reader: MakeReader) -> None:
    outcome = reader(NEVER_SURE, Said({"dishes": []})).extract(data=menu_of_sizes())
    assert [doubt["text"] for doubt in outcome.result["uncertainItems"]] == ["Plum Cake", ""]


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


@pytest.mark.parametrize("data", [b"no picture", sample()[:20_000]], ids=["no picture", "half a picture"])
def test_a_picture_that_cannot_be_read_is_not_sent(reader: MakeReader, data: bytes) -> None:
    made = reader(SURE_ENOUGH, Said(RESULT))
    with pytest.raises(PermanentExtractionError) as failed:
        made.extract(data=data)
    assert (failed.value.code, made.server.requests) == ("IMAGE_REJECTED", [])


def test_two_pictures_are_not_recognised_at_once(reader: MakeReader) -> None:
    made = reader(SURE_ENOUGH, Said(RESULT))
    both = threading.Barrier(2)

    def meet(stage: str, fraction: float) -> None:
        if (stage, fraction) == ("recognising", 0.0):
            both.wait(1)

    def read_one() -> None:
        with pytest.raises(threading.BrokenBarrierError):  # which nobody else could reach meanwhile
            made.extract(report=meet)

    with ThreadPoolExecutor(2) as threads:
        for reading in [threads.submit(read_one) for _ in range(2)]:
            reading.result()


def test_what_reads_first_can_be_given() -> None:
    class Sure:
        name = "sure"

        def extract(self, image: ImageInput, **_asked: object) -> ExtractionOutcome:
            return ExtractionOutcome(RESULT, 1.0)

    settings = load_settings(llm_model="openai-chat:gpt-4o", llm_api_key="sk")
    with closing(HybridExtractor(settings, Sure())) as extractor:
        outcome = extractor.extract(
            ImageInput(blank(), "image/png", "", "https://x.example/m", 0, 0),
            schema_version="stage1",
            prompt_version="v1.0",
            report=lambda _stage, _fraction: None,
        )
    assert outcome == ExtractionOutcome(RESULT, 1.0)
