"""A setting of the model that is missing or wrong is one line that names it, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from jobqueue.errors import InvalidInputError
from jobqueue.settings import load_settings
from worker.extractors.llm.extractor import LlmExtractor
from worker.extractors.llm.model import check_model_settings

SECRET = "sk-9876"
GIVEN = {"llm_model": "openai:gpt-5", "llm_api_key": SECRET}
ELSEWHERE = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"llm_model": None}, "JOBQUEUE_LLM_MODEL"),
        ({"llm_model": ""}, "JOBQUEUE_LLM_MODEL"),
        ({"llm_model": "gpt-5"}, "JOBQUEUE_LLM_MODEL"),
        ({"llm_model": "openai:"}, "JOBQUEUE_LLM_MODEL"),
        ({"llm_model": "bedrock:some"}, "JOBQUEUE_LLM_MODEL"),
        ({"llm_api_key": None}, "JOBQUEUE_LLM_API_KEY"),
        ({"llm_api_key": ""}, "JOBQUEUE_LLM_API_KEY"),
        ({"llm_model": "anthropic:any", "llm_api_key": None, "llm_base_url": ELSEWHERE}, "JOBQUEUE_LLM_API_KEY"),
        ({"llm_timeout": 100, "fetch_timeout": 21, "time_limit": 120}, "JOBQUEUE_LLM_TIMEOUT"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line_that_names_it(changed: dict[str, Any], setting: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"^{setting} is (not set|wrong)[;:] [^\n]*\.$") as refused:
        LlmExtractor(load_settings(**{**GIVEN, **changed}))
    assert SECRET not in refused.value.message


@pytest.mark.parametrize("model", ["openai:gpt-5", "openai-chat:gpt-5", "anthropic:claude-x", "google:gemini-x"])
def test_the_known_providers_are_accepted(model: str) -> None:
    check_model_settings(load_settings(**{**GIVEN, "llm_model": model}))


def test_a_server_of_ones_own_needs_no_key() -> None:
    check_model_settings(load_settings(llm_model="openai-chat:homemade", llm_base_url=ELSEWHERE))


def test_the_times_of_one_attempt_fit_by_default() -> None:
    check_model_settings(load_settings(**GIVEN))
