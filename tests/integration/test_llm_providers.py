"""The extractor ``llm`` against servers that speak each provider's protocol: answers, repairs, refusals and errors."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from PIL import Image

from jobqueue.extraction import (
    ExtractionOutcome,
    ImageInput,
    PermanentExtractionError,
    TransientExtractionError,
)
from jobqueue.menu_result import validate_result
from jobqueue.outcome_check import check_outcome
from jobqueue.settings import load_settings
from tests.image_server import picture
from tests.model_server import (
    AnthropicServer,
    CutOff,
    GoogleServer,
    Held,
    ModelServer,
    OpenAiServer,
    Refused,
    Reply,
    Said,
)
from tests.scripted_extractor import RESULT
from worker.extractors.llm.extractor import LlmExtractor
from worker.extractors.llm.model_loop import run_on_model_loop
from worker.extractors.llm.prompt_files import prompt_text

KEY = "sk-worker-key"
USED = {"inputTokens": 1000, "outputTokens": 200}
STAGE2 = {
    "menu": {
        "categories": [
            {
                "name": "Pizza",
                "items": [
                    {
                        "name": "Margherita",
                        "price": 8,
                        "confidence": 0.9,
                        "variants": [{"size": "L", "price": 11.5, "confidence": 0.9}],
                        "modifierGroups": [
                            {"name": "Extras", "type": "multi", "required": False, "options": [{"name": "Olives"}]}
                        ],
                    }
                ],
                "confidence": 0.9,
                "subcategories": [{"name": "White", "items": [], "confidence": 0.8}],
            }
        ],
        "setMenus": [{"name": "Lunch", "price": 15}],
    },
    "currency": "EUR",
}

each_provider = pytest.mark.parametrize("provider", [OpenAiServer, AnthropicServer, GoogleServer])


class Asked:
    """Questions to ``server``, which is running."""

    def __init__(self, server: ModelServer, **settings: Any) -> None:
        self.server = server
        given = {"llm_model": server.model, "llm_base_url": server.base_url, "llm_api_key": KEY, "llm_timeout": 20}
        self._extractor = LlmExtractor(load_settings(**{**given, **settings}))

    def answered(self, *replies: Reply) -> Asked:
        """The same server, which answers so from now on."""
        self.server.replies = list(replies)
        self.server.requests.clear()
        return self

    def close(self) -> None:
        self._extractor.close()

    def extract(self, schema_version: str = "stage1", **options: Any) -> ExtractionOutcome:
        image = ImageInput(options.pop("data", None) or picture("PNG"), "image/png", "", "https://x.example/m", 64, 48)
        options = {"prompt_version": "v1.0", "report": lambda _stage, _fraction: None, **options}
        outcome = self._extractor.extract(image, schema_version=schema_version, **options)
        check_outcome(outcome, schema_version)
        return outcome

    def transient(self) -> TransientExtractionError:
        with pytest.raises(TransientExtractionError) as failed:
            self.extract()
        return failed.value

    def permanent(self) -> PermanentExtractionError:
        with pytest.raises(PermanentExtractionError) as failed:
            self.extract()
        return failed.value


Ask = Callable[..., Asked]


@pytest.fixture(scope="module")
def _running() -> Iterator[dict[type[ModelServer], ModelServer]]:
    servers: dict[type[ModelServer], ModelServer] = {}
    with ExitStack() as running:
        for provider in (OpenAiServer, AnthropicServer, GoogleServer):
            servers[provider] = provider()
            running.enter_context(servers[provider].running())
        yield servers


@pytest.fixture(scope="module")
def _asked(_running: dict[type[ModelServer], ModelServer]) -> Iterator[dict[type[ModelServer], Asked]]:
    """With the usual settings: making an extractor takes a tenth of a second."""
    asked = {provider: Asked(server) for provider, server in _running.items()}
    yield asked
    for one in asked.values():
        one.close()


@pytest.fixture
def ask(_running: dict[type[ModelServer], ModelServer], _asked: dict[type[ModelServer], Asked]) -> Iterator[Ask]:
    own: list[Asked] = []

    def make(provider: type[ModelServer], *replies: Reply, **settings: Any) -> Asked:
        if not settings:
            return _asked[provider].answered(*replies)
        own.append(Asked(_running[provider], **settings))
        return own[-1].answered(*replies)

    yield make
    for one in own:
        one.close()


def usage_of(cost: dict[str, Any] | None) -> dict[str, Any]:
    assert cost is not None
    assert cost["estimatedCost"] > 0
    return {name: cost[name] for name in USED}


@each_provider
def test_the_picture_goes_out_and_the_menu_comes_back(ask: Ask, provider: type[ModelServer]) -> None:
    asked = ask(provider, Said(RESULT))
    outcome = asked.extract()
    assert outcome.result == RESULT
    assert outcome.confidence == 0.9
    assert usage_of(outcome.token_usage) == USED
    (request,) = asked.server.requests
    media_type, data = asked.server.picture(request)
    assert (media_type, base64.b64decode(data)) == ("image/png", picture("PNG"))
    assert KEY in str(request.headers)
    assert "You read photographed menus" in str(request.body)
    assert "variants" not in str(asked.server.tool_schema(request))


@each_provider
def test_stage2_is_asked_for_in_its_own_shape(ask: Ask, provider: type[ModelServer]) -> None:
    asked = ask(provider, Said(STAGE2))
    outcome = asked.extract("stage2")
    assert outcome.result == {**STAGE2, "uncertainItems": [], "superfluousText": []}
    schema = str(asked.server.tool_schema(asked.server.requests[0]))
    assert all(name in schema for name in ("variants", "modifierGroups", "setMenus", "subcategories"))


@each_provider
def test_an_answer_of_which_nothing_can_be_used_is_corrected_once(ask: Ask, provider: type[ModelServer]) -> None:
    asked = ask(provider, Said({"dishes": []}), Said(RESULT))
    outcome = asked.extract()
    assert outcome.result == RESULT
    assert len(asked.server.requests) == 2
    assert usage_of(outcome.token_usage) == {"inputTokens": 2000, "outputTokens": 400}


def test_an_answer_whose_every_dish_is_malformed_is_corrected_too(ask: Ask) -> None:
    category = {"name": "Food", "items": [{"name": "Crab", "price": "?", "confidence": 0.8}], "confidence": 0.9}
    asked = ask(OpenAiServer, Said({"menu": {"categories": [category]}, "currency": "EUR"}), Said(RESULT))
    assert asked.extract().result == RESULT
    assert len(asked.server.requests) == 2


@pytest.mark.parametrize("provider", [OpenAiServer, AnthropicServer])  # Google's arguments are JSON already
def test_an_answer_that_is_no_json_is_corrected_once(ask: Ask, provider: type[ModelServer]) -> None:
    asked = ask(provider, Said('{"menu": {"categories": [}'), Said(RESULT))
    assert asked.extract().result == RESULT
    assert len(asked.server.requests) == 2


@each_provider
@pytest.mark.parametrize("useless", [Said({"dishes": []}), Said(text="I am sorry, I cannot do that.")])
def test_an_answer_that_stays_useless_fails_the_job_after_one_correction(
    ask: Ask, provider: type[ModelServer], useless: Said
) -> None:
    asked = ask(provider, useless)
    error = asked.permanent()
    assert error.code == "INVALID_RESULT"
    assert len(asked.server.requests) == 2
    assert usage_of(error.token_usage) == {"inputTokens": 2000, "outputTokens": 400}


@each_provider
def test_the_bad_parts_of_an_almost_valid_answer_are_taken_out_and_said(ask: Ask, provider: type[ModelServer]) -> None:
    items = [{"name": f"Dish {number}", "price": number, "confidence": 0.8} for number in range(3)]
    items.append({"name": "Crab", "price": "market price", "confidence": 0.8})
    answer = {"menu": {"categories": [{"name": "Food", "items": items, "confidence": 0.9}]}, "currency": "EUR"}
    asked = ask(provider, Said(answer))
    outcome = asked.extract()
    assert len(asked.server.requests) == 1
    assert [item["name"] for item in outcome.result["menu"]["categories"][0]["items"]] == ["Dish 0", "Dish 1", "Dish 2"]
    (doubt,) = outcome.result["uncertainItems"]
    assert (doubt["text"], doubt["suggestedCategory"]) == ("Crab", "Food")
    assert "price" in doubt["reason"]
    assert outcome.confidence == 0.6  # three of four parts at 0.8


@pytest.mark.parametrize("provider", [OpenAiServer, AnthropicServer])
def test_a_truncated_answer_is_kept_as_far_as_it_goes(ask: Ask, provider: type[ModelServer]) -> None:
    answer = Said(
        '{"menu": {"categories": [{"name": "Food", "confidence": 0.9, "items": [{"name": "Pho", "price": 9, '
        '"confidence": 0.9}, {"name": "Bun cha", "price": 1',
        ending="truncated",
    )
    asked = ask(provider, answer)
    outcome = asked.extract()
    (category,) = outcome.result["menu"]["categories"]
    assert [item["name"] for item in category["items"]] == ["Pho"]
    doubts = {doubt["text"]: doubt["reason"] for doubt in outcome.result["uncertainItems"]}
    assert "cut off" in doubts["Bun cha"]
    assert outcome.confidence < 0.9
    assert usage_of(outcome.token_usage)["outputTokens"] == 200 * len(asked.server.requests)


@each_provider
def test_a_truncated_answer_without_anything_usable_fails_the_job(ask: Ask, provider: type[ModelServer]) -> None:
    error = ask(provider, Said('{"men', ending="truncated")).permanent()
    assert error.code == "ANSWER_TRUNCATED"
    assert "several pictures" in error.message
    assert error.token_usage is not None


@each_provider
def test_a_refusal_fails_the_job_at_once(ask: Ask, provider: type[ModelServer]) -> None:
    asked = ask(provider, Said(RESULT, ending="filtered"))
    error = asked.permanent()
    assert (error.code, len(asked.server.requests)) == ("MODEL_REFUSED", 1)
    assert usage_of(error.token_usage) == USED


@each_provider
def test_a_picture_without_a_menu_is_said_to_be_none(ask: Ask, provider: type[ModelServer]) -> None:
    error = ask(provider, Said({"menu": {"categories": []}, "currency": "USD"})).permanent()
    assert error.code == "NO_MENU_FOUND"
    assert usage_of(error.token_usage) == USED


@each_provider
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "PROVIDER_RATE_LIMITED"),
        (500, "PROVIDER_ERROR"),
        (502, "PROVIDER_ERROR"),
        (503, "PROVIDER_OVERLOADED"),
        (529, "PROVIDER_OVERLOADED"),
        (408, "PROVIDER_ERROR"),
    ],
)
def test_what_may_pass_is_transient_and_not_sent_twice(
    ask: Ask, provider: type[ModelServer], status: int, code: str
) -> None:
    asked = ask(provider, Refused(status))
    error = asked.transient()
    assert (error.code, error.token_usage, error.retry_after) == (code, None, None)
    assert len(asked.server.requests) == 1
    assert "secret" not in f"{error} {error.args}"


@each_provider
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "PROVIDER_REJECTED_REQUEST"),
        (401, "PROVIDER_REFUSED_KEY"),
        (402, "PROVIDER_QUOTA_EXHAUSTED"),
        (403, "PROVIDER_REFUSED_KEY"),
        (404, "UNKNOWN_MODEL"),
        (413, "PROVIDER_REJECTED_REQUEST"),
    ],
)
def test_what_will_not_pass_is_permanent_in_words_of_our_own(
    ask: Ask, provider: type[ModelServer], status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        error = ask(provider, Refused(status)).permanent()
    assert error.code == code
    assert "secret" not in f"{error} {error.args}{caplog.text}"
    assert f"status {status}" in caplog.text


def test_of_a_providers_words_only_its_error_code_is_logged(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ask(OpenAiServer, Refused(400, code="image_too_dark")).permanent()
        ask(OpenAiServer, Refused(400, code="the key sk-1234")).permanent()
    assert "image_too_dark" in caplog.text
    assert "sk-1234" not in caplog.text


def test_an_exhausted_quota_is_told_from_a_rate_limit(ask: Ask) -> None:
    assert ask(OpenAiServer, Refused(429, code="insufficient_quota")).permanent().code == "PROVIDER_QUOTA_EXHAUSTED"


def test_a_picture_that_is_too_much_for_the_model_is_told_from_a_wrong_request(ask: Ask) -> None:
    assert ask(OpenAiServer, Refused(400, code="context_length_exceeded")).permanent().code == "MODEL_CONTEXT_EXCEEDED"


@each_provider
def test_retry_after_is_heeded_in_seconds_and_as_a_date(ask: Ask, provider: type[ModelServer]) -> None:
    assert ask(provider, Refused(429, {"Retry-After": "17"})).transient().retry_after == 17
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    wished = ask(provider, Refused(503, {"Retry-After": date})).transient().retry_after
    assert wished is not None
    assert 80 < wished <= 90


@each_provider
@pytest.mark.parametrize("cut", [CutOff(), CutOff(in_the_middle=True)])
def test_a_broken_connection_is_transient(ask: Ask, provider: type[ModelServer], cut: CutOff) -> None:
    assert ask(provider, cut).transient().code == "PROVIDER_UNREACHABLE"


def test_nobody_at_the_address_is_transient(ask: Ask) -> None:
    asked = ask(OpenAiServer, llm_base_url="http://127.0.0.1:9/v1")
    assert asked.transient().code == "PROVIDER_UNREACHABLE"


@each_provider
def test_an_answer_that_does_not_come_in_time_is_transient(ask: Ask, provider: type[ModelServer]) -> None:
    released = threading.Event()
    asked = ask(provider, Held(released, Said(RESULT)), llm_timeout=0.5)
    try:
        assert asked.transient().code == "PROVIDER_TIMEOUT"
    finally:
        released.set()


def test_the_deadline_is_for_the_correction_too_and_what_was_answered_by_then_is_paid(ask: Ask) -> None:
    released = threading.Event()
    asked = ask(OpenAiServer, Said({"dishes": []}), Held(released, Said(RESULT)), llm_timeout=1.5)
    try:
        error = asked.transient()
    finally:
        released.set()
    assert error.code == "PROVIDER_TIMEOUT"
    assert usage_of(error.token_usage) == USED


def test_a_loop_that_does_not_get_round_to_the_question_costs_the_deadline_and_no_more(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.extractors.llm.extractor.GRACE_SECONDS", 0.5)
    released = threading.Event()

    async def occupy() -> None:
        released.wait(20)  # as no coroutine may

    busy = threading.Thread(target=run_on_model_loop, args=(occupy(), lambda: None))
    busy.start()
    try:
        assert ask(OpenAiServer, Said(RESULT), llm_timeout=0.5).transient().code == "PROVIDER_TIMEOUT"
    finally:
        released.set()
        busy.join()


def test_the_cost_of_a_model_without_a_price_stays_unknown(ask: Ask) -> None:
    asked = ask(OpenAiServer, Said(RESULT), llm_model="openai-chat:homemade-7b", llm_api_key=None)
    assert asked.extract().token_usage == {**USED, "estimatedCost": None}


def test_a_server_that_counts_no_tokens_leaves_no_usage(ask: Ask) -> None:
    asked = ask(OpenAiServer, Said(RESULT, input_tokens=0, output_tokens=0))
    assert asked.extract().token_usage is None


def test_an_unknown_prompt_version_is_refused_before_anything_is_sent(ask: Ask) -> None:
    asked = ask(OpenAiServer, Said(RESULT))
    for version in ("v0.9", "../v1.0", "", "v1.0.md"):
        with pytest.raises(PermanentExtractionError, match=r"must be one of v1\.0") as refused:
            asked.extract(prompt_version=version)
        assert refused.value.code == "UNKNOWN_PROMPT_VERSION"
    assert asked.server.requests == []
    assert asked.extract(prompt_version="v1.0+model").result == RESULT


def test_a_picture_beyond_the_providers_limits_is_sent_smaller_and_upright(ask: Ask) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    buffer = io.BytesIO()
    Image.new("RGB", (4000, 3000), "white").save(buffer, "JPEG", exif=exif)
    asked = ask(OpenAiServer, Said(RESULT))
    asked.extract(data=buffer.getvalue())
    media_type, data = asked.server.picture(asked.server.requests[0])
    with Image.open(io.BytesIO(base64.b64decode(data))) as sent:
        assert (media_type, sent.format, sent.size) == ("image/jpeg", "JPEG", (1920, 2560))


def test_what_the_report_raises_ends_the_question() -> None:
    """A job that was cancelled, or taken over, must not be paid for any longer."""
    given_up = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            given_up.set()
            raise

    def cancelled() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        run_on_model_loop(endless(), cancelled)
    assert given_up.wait(5)


def test_the_progress_of_a_question_is_told(ask: Ask) -> None:
    told: list[tuple[str, float]] = []
    released = threading.Event()

    def report(stage: str, fraction: float) -> None:
        told.append((stage, fraction))
        if stage == "asking the model" and fraction > 0:
            released.set()

    asked = ask(OpenAiServer, Held(released, Said(RESULT)))
    validate_result(asked.extract(report=report).result, "stage1")
    assert [stage for stage, _ in told[:2]] == ["preparing", "asking the model"]
    assert 0 < told[2][1] < told[-1][1] == 1


def test_every_prompt_is_there() -> None:
    assert "photographed menus" in prompt_text("v1.0")
