"""Asking the model for the menu in a picture."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai import Agent, BinaryContent, ToolOutput, capture_run_messages
from pydantic_ai.exceptions import OutputTokenLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage

from worker.extractors.llm.answer import ANSWERS
from worker.extractors.llm.salvage import Salvaged, salvage_truncated

TOOL = "give_menu"
REPAIRS = 1
"""How often a model may put right an answer of which nothing can be used."""


class Conversation:
    """The agents of a process, one for each schema version: any number of questions at once, on that process's loop."""

    def __init__(self, model: Model, settings: ModelSettings, timeout: float) -> None:
        self._agents: dict[str, Agent[object, Any]] = {
            schema_version: Agent(
                model,
                output_type=ToolOutput(answer, name=TOOL),
                model_settings=settings,
                retries={"output": REPAIRS},
                name="menu",
            )
            for schema_version, answer in ANSWERS.items()
        }
        self._timeout = timeout

    async def ask(
        self, picture: bytes, media_type: str, *, instructions: str, schema_version: str, usage: RunUsage
    ) -> Salvaged:
        """What the model reads in the picture.

        ``usage`` grows with every answer, also with those of a question that fails. Raises pydantic-ai's errors, and
        ``TimeoutError`` when everything together takes longer than the timeout.
        """
        with capture_run_messages() as messages:
            try:
                async with asyncio.timeout(self._timeout):
                    run = await self._agents[schema_version].run(
                        [BinaryContent(picture, media_type=media_type)],
                        instructions=instructions,
                        usage=usage,
                    )
            except OutputTokenLimitExceeded:
                salvaged = salvage_truncated(_last_words(messages), schema_version)
                if salvaged is None:
                    raise
                return salvaged
        answer: Salvaged = run.output
        return answer


def _last_words(messages: list[ModelMessage]) -> str:
    """What the model had written of its answer when it was cut off."""
    responses = [message for message in messages if isinstance(message, ModelResponse)]
    parts = responses[-1].parts if responses else []
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    if calls:
        return calls[-1].args if isinstance(calls[-1].args, str) else calls[-1].args_as_json_str()
    return "".join(part.content for part in parts if isinstance(part, TextPart))
