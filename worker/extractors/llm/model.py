"""The model that the settings name, and the connection pool that its requests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, create_async_httpx2_client, infer_model
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings

from jobqueue.errors import InvalidInputError
from jobqueue.settings import Settings

if TYPE_CHECKING:
    import httpx2

_NEEDS_NO_KEY = "key-not-needed"


def check_model_settings(settings: Settings) -> None:
    """Raise ``InvalidInputError`` with one line that names the setting which is missing or wrong."""
    if settings.llm_model is None:
        raise InvalidInputError(
            "JOBQUEUE_LLM_MODEL is not set; give it as provider:name, for example openai:gpt-5.",
            setting="JOBQUEUE_LLM_MODEL",
        )
    provider, _, name = settings.llm_model.partition(":")
    if provider not in _PROVIDERS or not name.strip():
        known = ", ".join(f"{one}:NAME" for one in _PROVIDERS)
        raise InvalidInputError(
            f"JOBQUEUE_LLM_MODEL is wrong: it must be one of {known}; for any other server that speaks OpenAI's API "
            "give openai-chat:NAME and JOBQUEUE_LLM_BASE_URL.",
            setting="JOBQUEUE_LLM_MODEL",
        )
    if settings.llm_api_key is None and (settings.llm_base_url is None or not provider.startswith("openai")):
        raise InvalidInputError(
            f"JOBQUEUE_LLM_API_KEY is not set; {provider}: needs the provider's key.", setting="JOBQUEUE_LLM_API_KEY"
        )
    if settings.llm_timeout + settings.fetch_timeout > settings.time_limit:
        raise InvalidInputError(
            f"JOBQUEUE_LLM_TIMEOUT is wrong: with JOBQUEUE_FETCH_TIMEOUT it comes to "
            f"{settings.llm_timeout + settings.fetch_timeout:g} seconds, more than JOBQUEUE_TIME_LIMIT "
            f"({settings.time_limit}).",
            setting="JOBQUEUE_LLM_TIMEOUT",
        )


def create_client() -> httpx2.AsyncClient:
    """The client of all requests of a process: one pool, of up to 1,000 connections, each made within five seconds."""
    return create_async_httpx2_client()


def create_model(settings: Settings, client: httpx2.AsyncClient) -> Model:
    """The model of the settings, which ``check_model_settings`` has accepted. Nothing is sent yet."""
    key = settings.llm_api_key.get_secret_value() if settings.llm_api_key is not None else _NEEDS_NO_KEY
    try:
        return infer_model(
            settings.llm_model or "", lambda provider: _PROVIDERS[provider](settings.llm_base_url, key, client)
        )
    except UserError as error:
        raise InvalidInputError(f"JOBQUEUE_LLM_MODEL is wrong: {error.message}", setting="JOBQUEUE_LLM_MODEL") from None


def request_settings(settings: Settings) -> ModelSettings:
    """No request is sent again by the provider's own client: the job is what is tried again."""
    return ModelSettings(timeout=settings.llm_timeout, max_retries=0)


def _openai(base_url: str | None, key: str, client: httpx2.AsyncClient) -> Provider[Any]:
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415 - each costs a second to import

    return OpenAIProvider(base_url=base_url, api_key=key, http_client=client)


def _anthropic(base_url: str | None, key: str, client: httpx2.AsyncClient) -> Provider[Any]:
    from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415

    return AnthropicProvider(base_url=base_url, api_key=key, http_client=client)


def _google(base_url: str | None, key: str, client: httpx2.AsyncClient) -> Provider[Any]:
    from pydantic_ai.providers.google import GoogleProvider  # noqa: PLC0415

    return GoogleProvider(base_url=base_url, api_key=key, http_client=client)


_PROVIDERS: dict[str, Callable[[str | None, str, httpx2.AsyncClient], Provider[Any]]] = {
    "openai": _openai,
    "openai-chat": _openai,
    "anthropic": _anthropic,
    "google": _google,
}
