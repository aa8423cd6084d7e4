"""The formats of a ``result``: ``stage1`` (dishes and prices) and ``stage2`` (variants, modifiers, set menus)."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from jobqueue.currencies import ISO_4217
from jobqueue.errors import InvalidInputError, InvalidResultError

MAX_PROBLEMS = 5
# The escape itself, not a backslash that is escaped before the letters u0000.
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _known_currency(value: str) -> str:
    if value not in ISO_4217:
        raise ValueError("must be an ISO 4217 code such as USD")
    return value


Confidence = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ItemName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_not_blank)]
CategoryName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_not_blank)]
Description = Annotated[str, Field(max_length=500)]


class _Part(BaseModel):
    # Strict: a price "12" is text, not a number. Unknown keys are kept as they are, so an extractor may say more.
    model_config = ConfigDict(strict=True, extra="allow")


class Item(_Part):
    name: ItemName
    price: Price
    description: Description | None = None
    confidence: Confidence


class Category(_Part):
    name: CategoryName
    items: list[Item]
    subcategories: list[Category] = []
    confidence: Confidence


class Menu(_Part):
    categories: list[Category]


class UncertainItem(_Part):
    text: str
    reason: str
    confidence: Confidence
    suggestedCategory: str | None = None  # noqa: N815 - the wire format is camelCase
    suggestedPrice: Price | None = None  # noqa: N815


class SuperfluousText(_Part):
    text: str
    context: str
    confidence: Confidence


class Stage1Result(_Part):
    menu: Menu
    currency: Annotated[str, AfterValidator(_known_currency)]
    uncertainItems: list[UncertainItem] = []  # noqa: N815
    superfluousText: list[SuperfluousText] = []  # noqa: N815


class Variant(_Part):
    size: str | None = None
    attributes: dict[str, Any] | list[str] | None = None
    price: Price
    confidence: Confidence


class ModifierOption(_Part):
    name: ItemName
    priceDelta: Annotated[float, Field(allow_inf_nan=False)] | None = None  # noqa: N815


class ModifierGroup(_Part):
    name: CategoryName
    type: Literal["single", "multi"]
    required: bool
    options: list[ModifierOption]


class Additional(_Part):
    servedWith: str | list[str] | None = None  # noqa: N815
    forPax: Annotated[int, Field(ge=1)] | None = None  # noqa: N815
    prepTimeMin: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None  # noqa: N815
    notes: str | None = None


class Stage2Item(Item):
    variants: list[Variant] = []
    modifierGroups: list[ModifierGroup] = []  # noqa: N815
    additional: Additional | None = None


class Stage2Category(_Part):
    name: CategoryName
    items: list[Stage2Item]
    subcategories: list[Stage2Category] = []
    confidence: Confidence


class SetMenu(_Part):
    name: ItemName
    price: Price | None = None
    description: Description | None = None
    confidence: Confidence | None = None


class Stage2Menu(_Part):
    categories: list[Stage2Category]
    setMenus: list[SetMenu] = []  # noqa: N815


class Stage2Result(_Part):
    menu: Stage2Menu
    currency: Annotated[str, AfterValidator(_known_currency)]
    uncertainItems: list[UncertainItem] = []  # noqa: N815
    superfluousText: list[SuperfluousText] = []  # noqa: N815


SCHEMAS: dict[str, type[BaseModel]] = {"stage1": Stage1Result, "stage2": Stage2Result}


def check_schema_version(schema_version: str) -> str:
    """Return ``schema_version`` if it exists; raises ``InvalidInputError`` otherwise."""
    if not isinstance(schema_version, str) or schema_version not in SCHEMAS:
        known = " or ".join(SCHEMAS)
        raise InvalidInputError(f"The schema version must be {known}.", argument="schema_version")
    return schema_version


def validate_result(result: Any, schema_version: str) -> dict[str, Any]:
    """Return ``result`` unchanged if it fits its schema version.

    Raises ``InvalidResultError`` whose details list the first few problems by path, without the values: a result may
    hold what the user does not want to see in a log.
    """
    schema = SCHEMAS[check_schema_version(schema_version)]
    try:
        schema.model_validate(result)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        problems = [f"{'.'.join(str(part) for part in one['loc']) or 'result'}: {one['msg']}" for one in found]
        raise InvalidResultError(
            f"The result is not a valid {schema_version} result: {problems[0]}.", problems=problems[:MAX_PROBLEMS]
        ) from None
    refuse_unstorable(result, "result")
    checked: dict[str, Any] = result
    return checked


def refuse_unstorable(value: Any, what: str) -> None:
    """Raise ``InvalidResultError`` for what jsonb cannot hold, also under keys that no schema knows."""
    try:
        encoded = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResultError(f"The {what} cannot be stored as JSON: {error}.", problems=[str(error)]) from None
    if _NUL_ESCAPE.search(encoded):
        raise InvalidResultError(f"The {what} holds a NUL character, which Postgres cannot store.", problems=["NUL"])


def has_categories(result: Any) -> bool:
    """Whether a stored result is of the present format: results of the first generation have no ``menu.categories``."""
    return (
        isinstance(result, dict)
        and isinstance(result.get("menu"), dict)
        and isinstance(result["menu"].get("categories"), list)
    )
