"""What the model is asked to call its tool with: the contract's own shapes, read leniently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ModelWrapValidatorHandler, model_validator

from jobqueue.menu_result import Stage1Result, Stage2Result
from worker.extractors.llm.salvage import Salvaged, salvage


class Stage1Answer(Stage1Result):
    """Everything that is on the menu."""

    @model_validator(mode="wrap")
    @classmethod
    def _salvaged(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        return _usable(value, "stage1", handler)


class Stage2Answer(Stage2Result):
    """Everything that is on the menu, with sizes, choices and fixed menus."""

    @model_validator(mode="wrap")
    @classmethod
    def _salvaged(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        return _usable(value, "stage2", handler)


ANSWERS: dict[str, type[Stage1Answer] | type[Stage2Answer]] = {"stage1": Stage1Answer, "stage2": Stage2Answer}
"""Validating an answer yields a ``Salvaged``; one of which nothing is left is refused with all its problems."""


def _usable(value: Any, schema_version: str, handler: ModelWrapValidatorHandler[Any]) -> Any:
    salvaged = salvage(value, schema_version)
    if salvaged is None or (salvaged.mended and not any(items_of(salvaged.result))):
        return handler(value)
    return salvaged


def items_of(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All items of a valid result, those of subcategories too."""
    waiting = list(result["menu"]["categories"])
    while waiting:
        category = waiting.pop()
        yield from category["items"]
        waiting.extend(category.get("subcategories", []))


def overall_confidence(salvaged: Salvaged) -> float:
    """For the whole result: the items' mean, lowered by the share of the answer that had to be mended."""
    confidences = [float(item["confidence"]) for item in items_of(salvaged.result)]
    if not confidences:
        return 0.0
    return round(sum(confidences) / (len(confidences) + salvaged.mended), 3)
