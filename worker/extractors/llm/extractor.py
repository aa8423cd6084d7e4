"""The extractor ``llm``: one question to a large model, and what can be used of its answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.usage import RunUsage

from jobqueue.extraction import ExtractionOutcome, ImageInput, PermanentExtractionError, ProgressReport
from jobqueue.settings import Settings, load_settings
from worker.extractors.llm.answer import items_of, overall_confidence
from worker.extractors.llm.conversation import Conversation
from worker.extractors.llm.model import check_model_settings, create_client, create_model, request_settings
from worker.extractors.llm.model_loop import run_on_model_loop
from worker.extractors.llm.picture import picture_to_send
from worker.extractors.llm.prompt_files import prompt_text
from worker.extractors.llm.provider_errors import extraction_error
from worker.extractors.llm.token_usage import stored_usage

# The deadline of the question itself comes first; this is for a loop that does not get round to it.
GRACE_SECONDS = 5.0


class LlmExtractor:
    """Serves any number of threads at once. ``prompt_version`` names one of the prompt files."""

    name = "llm"

    def __init__(self, settings: Settings | None = None) -> None:
        """Raises ``InvalidInputError`` for a setting that is missing or wrong; nothing is sent yet."""
        self._settings = settings or load_settings()
        check_model_settings(self._settings)
        self._client = create_client()
        model = create_model(self._settings, self._client)
        self._conversation = Conversation(model, request_settings(self._settings), self._settings.llm_timeout)

    def close(self) -> None:
        """Close the connections to the provider."""
        run_on_model_loop(self._client.aclose(), lambda: None)

    def extract(
        self, image: ImageInput, *, schema_version: str, prompt_version: str, report: ProgressReport
    ) -> ExtractionOutcome:
        """The menu in the picture.

        Raises ``TransientExtractionError`` and ``PermanentExtractionError`` with the usage of the failed attempt.
        """
        instructions = prompt_text(prompt_version)
        report("preparing", 0.0)
        picture, media_type = picture_to_send(image)
        usage = RunUsage()
        question = self._conversation.ask(
            picture, media_type, instructions=instructions, schema_version=schema_version, usage=usage
        )
        try:
            salvaged = run_on_model_loop(question, self._waiting(report))
        except (AgentRunError, TimeoutError) as error:
            raise extraction_error(error, stored_usage(usage)) from None
        report("asking the model", 1.0)
        if not any(items_of(salvaged.result)):
            raise PermanentExtractionError(
                "This picture does not seem to show a menu: the model found no dish with a price in it. Send a sharp, "
                "upright picture of the menu.",
                "NO_MENU_FOUND",
                stored_usage(usage),
            )
        return ExtractionOutcome(salvaged.result, overall_confidence(salvaged), stored_usage(usage))

    def _waiting(self, report: ProgressReport) -> Callable[[], None]:
        began = time.monotonic()
        timeout = self._settings.llm_timeout
        report("asking the model", 0.0)

        def look_up() -> None:
            waited = time.monotonic() - began
            if waited > timeout + GRACE_SECONDS:
                raise TimeoutError
            # Raises where the job was cancelled or taken over, which ends the question.
            report("asking the model", min(waited / timeout, 0.99))

        return look_up
