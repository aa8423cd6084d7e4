"""The prompts: one file a version, shipped with the package; ``prompt_version`` picks one."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jobqueue.extraction import PermanentExtractionError

SUFFIX = ".md"
ASKS_FOR_MODEL = "+model"
"""Behind the name of a prompt it says that the user wants a model's answer; the extractor ``hybrid`` heeds it."""


def known_prompts() -> list[str]:
    """The versions there are, oldest first."""
    return sorted(_texts())


def prompt_text(prompt_version: str) -> str:
    """The instructions of a version; raises ``PermanentExtractionError`` (``UNKNOWN_PROMPT_VERSION``) without one."""
    name = prompt_version.removesuffix(ASKS_FOR_MODEL)
    if name not in _texts():
        # The unknown name is the user's text and is not repeated.
        known = ", ".join(known_prompts())
        raise PermanentExtractionError(
            f"There is no prompt of this version; prompt_version must be one of {known}.", "UNKNOWN_PROMPT_VERSION"
        )
    return _texts()[name]


def asks_for_model(prompt_version: str) -> bool:
    return prompt_version.endswith(ASKS_FOR_MODEL)


@cache
def _texts() -> dict[str, str]:
    folder = files("worker.extractors.llm").joinpath("prompts")
    return {
        entry.name.removesuffix(SUFFIX): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(SUFFIX)
    }
