"""A result fits its schema version or is refused, whatever an extractor made of the picture."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings

from jobqueue.errors import InvalidInputError, InvalidResultError
from jobqueue.menu_result import MAX_PROBLEMS, has_categories, validate_result
from tests.unit.result_strategies import STAGE1, STAGE2, Result

ABSENT = object()

STAGE2_EXAMPLE: Result = {
    "menu": {
        "categories": [
            {
                "name": "Soups",
                "items": [
                    {
                        "name": "Pho",
                        "price": 9.5,
                        "description": "Beef broth",
                        "confidence": 0.9,
                        "variants": [{"size": "large", "attributes": {"meat": "beef"}, "price": 12, "confidence": 0.8}],
                        "modifierGroups": [
                            {
                                "name": "Noodles",
                                "type": "single",
                                "required": True,
                                "options": [{"name": "Udon", "priceDelta": -0.5}],
                            }
                        ],
                        "additional": {"servedWith": "lime", "forPax": 2, "prepTimeMin": 10, "notes": "hot"},
                    }
                ],
                "subcategories": [{"name": "Cold", "items": [], "confidence": 1}],
                "confidence": 0.9,
            }
        ],
        "setMenus": [{"name": "Lunch", "price": 15, "description": "three courses", "confidence": 0.7}],
    },
    "currency": "USD",
    "uncertainItems": [
        {"text": "Crab ?", "reason": "blurred", "confidence": 0.2, "suggestedCategory": "Soups", "suggestedPrice": 8}
    ],
    "superfluousText": [{"text": "Thank you", "context": "footer", "confidence": 0.9}],
}

CATEGORY = ("menu", "categories", 0)
ITEM = (*CATEGORY, "items", 0)
VARIANT = (*ITEM, "variants", 0)
GROUP = (*ITEM, "modifierGroups", 0)
OPTION = (*GROUP, "options", 0)
ADDITIONAL = (*ITEM, "additional")
SET_MENU = ("menu", "setMenus", 0)
UNCERTAIN = ("uncertainItems", 0)
SUPERFLUOUS = ("superfluousText", 0)

NO_CONFIDENCE = [-0.01, 1.01, True, "0.5", None, float("nan"), float("inf"), []]
NO_PRICE = [-0.01, True, "9.50", float("nan"), float("inf"), 10**400, []]
NO_LIST = [ABSENT, None, {}, "text", 3]

STAGE1_MUTATIONS: list[tuple[tuple[Any, ...], list[Any]]] = [
    (("menu",), [ABSENT, None, [], "menu"]),
    (("menu", "categories"), NO_LIST),
    (CATEGORY, [None, [], "Soups"]),
    ((*CATEGORY, "name"), [ABSENT, None, "", "  \n", "a" * 101, 5, "a\x00"]),
    ((*CATEGORY, "items"), NO_LIST),
    ((*CATEGORY, "confidence"), [ABSENT, *NO_CONFIDENCE]),
    ((*CATEGORY, "subcategories"), [None, {}, [{"name": "no items", "confidence": 1}]]),
    ((*CATEGORY, "subcategories", 0, "name"), [ABSENT, "", "a" * 101]),
    (ITEM, [None, [], "Pho"]),
    ((*ITEM, "name"), [ABSENT, None, "", "\u3000", "a" * 201, 5, b"Pho", "\ud800"]),
    ((*ITEM, "price"), [ABSENT, None, *NO_PRICE]),
    ((*ITEM, "description"), ["a" * 501, 5, ["text"], "a\x00b"]),
    ((*ITEM, "confidence"), [ABSENT, *NO_CONFIDENCE]),
    (("currency",), [ABSENT, None, "", "usd", "US", "XXX", "EURO", "$", 840]),
    (("uncertainItems",), [None, {}, "text"]),
    ((*UNCERTAIN, "text"), [ABSENT, None, 5, "\x00"]),
    ((*UNCERTAIN, "reason"), [ABSENT, None, 5]),
    ((*UNCERTAIN, "confidence"), [ABSENT, *NO_CONFIDENCE]),
    ((*UNCERTAIN, "suggestedCategory"), [5, []]),
    ((*UNCERTAIN, "suggestedPrice"), NO_PRICE),
    (("superfluousText",), [None, {}, "text"]),
    ((*SUPERFLUOUS, "text"), [ABSENT, None, 5]),
    ((*SUPERFLUOUS, "context"), [ABSENT, None, 5]),
    ((*SUPERFLUOUS, "confidence"), [ABSENT, *NO_CONFIDENCE]),
    (("unknown",), [float("nan"), "\x00", {"deeper": ["\x00"]}, {"\x00": 1}, object(), {1, 2}, b"bytes"]),
]
STAGE2_MUTATIONS: list[tuple[tuple[Any, ...], list[Any]]] = [
    ((*ITEM, "variants"), [None, {}, "large"]),
    ((*VARIANT, "size"), [5, []]),
    ((*VARIANT, "attributes"), [5, "beef", [1]]),
    ((*VARIANT, "price"), [ABSENT, None, *NO_PRICE]),
    ((*VARIANT, "confidence"), [ABSENT, *NO_CONFIDENCE]),
    ((*ITEM, "modifierGroups"), [None, {}, "Noodles"]),
    ((*GROUP, "name"), [ABSENT, None, "", "a" * 101]),
    ((*GROUP, "type"), [ABSENT, None, "many", "SINGLE", 1]),
    ((*GROUP, "required"), [ABSENT, None, 1, "yes"]),
    ((*GROUP, "options"), NO_LIST),
    ((*OPTION, "name"), [ABSENT, None, "", " ", "a" * 201]),
    ((*OPTION, "priceDelta"), ["1", True, float("nan"), float("-inf")]),
    ((*ITEM, "additional"), [[], "lime", 5]),
    ((*ADDITIONAL, "servedWith"), [5, [5], {}]),
    ((*ADDITIONAL, "forPax"), [0, -1, 1.5, "2", True]),
    ((*ADDITIONAL, "prepTimeMin"), [-1, "10", float("nan"), True]),
    ((*ADDITIONAL, "notes"), [5, []]),
    (("menu", "setMenus"), [None, {}, "Lunch"]),
    ((*SET_MENU, "name"), [ABSENT, None, "", "a" * 201]),
    ((*SET_MENU, "price"), NO_PRICE),
    ((*SET_MENU, "description"), [5, "a" * 501]),
    ((*SET_MENU, "confidence"), [-0.1, 1.1, "1", True]),
]


def each(mutations: list[tuple[tuple[Any, ...], list[Any]]]) -> list[Any]:
    return [
        pytest.param(path, value, id=f"{'.'.join(map(str, path))}-{number}")
        for path, values in mutations
        for number, value in enumerate(values)
    ]


def mutated(result: Result, path: tuple[Any, ...], value: Any) -> Result:
    changed: Any = deepcopy(result)
    place = changed
    for step in path[:-1]:
        place = place[step]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    whole: Result = changed
    return whole


def refused(result: Any, schema_version: str) -> InvalidResultError:
    with pytest.raises(InvalidResultError) as caught:
        validate_result(result, schema_version)
    assert caught.value.code == "INVALID_RESULT"
    assert "\n" not in caught.value.message
    assert 1 <= len(caught.value.details["problems"]) <= MAX_PROBLEMS
    return caught.value


@given(STAGE1)
def test_every_valid_stage1_result_passes_unchanged(result: Result) -> None:
    before = deepcopy(result)
    assert validate_result(result, "stage1") == before


@given(STAGE2)
@settings(max_examples=50)
def test_every_valid_stage2_result_passes_unchanged(result: Result) -> None:
    before = deepcopy(result)
    assert validate_result(result, "stage2") == before


@given(STAGE1)
def test_a_stage1_result_is_a_valid_stage2_result(result: Result) -> None:
    assert validate_result(result, "stage2") == result


@given(STAGE1)
def test_every_valid_result_is_of_the_present_format_and_json(result: Result) -> None:
    assert has_categories(result)
    assert json.loads(json.dumps(result)) == result


def test_the_examples_of_the_mutations_are_valid_themselves() -> None:
    validate_result(STAGE2_EXAMPLE, "stage1")
    validate_result(STAGE2_EXAMPLE, "stage2")


@pytest.mark.parametrize("schema_version", ["stage1", "stage2"])
@pytest.mark.parametrize(("path", "value"), each(STAGE1_MUTATIONS))
def test_each_wrong_part_is_refused_in_both_versions(path: tuple[Any, ...], value: Any, schema_version: str) -> None:
    refused(mutated(STAGE2_EXAMPLE, path, value), schema_version)


@pytest.mark.parametrize(("path", "value"), each(STAGE2_MUTATIONS))
def test_each_wrong_stage2_part_is_refused(path: tuple[Any, ...], value: Any) -> None:
    refused(mutated(STAGE2_EXAMPLE, path, value), "stage2")


@pytest.mark.parametrize("result", [None, [], "text", 5, True, {}, float("nan"), object()])
def test_what_is_no_result_at_all_is_refused(result: Any) -> None:
    refused(result, "stage1")


def test_the_message_names_the_place_but_never_the_value() -> None:
    error = refused(mutated(STAGE2_EXAMPLE, (*ITEM, "price"), "private text"), "stage1")
    assert "menu.categories.0.items.0.price" in error.message
    assert "private text" not in f"{error.message}{error.details}"


def test_many_problems_are_reported_by_the_first_few() -> None:
    result = mutated(STAGE2_EXAMPLE, (*CATEGORY, "items"), [{"name": ""}] * 10_000)
    error = refused(result, "stage1")
    assert len(error.details["problems"]) == MAX_PROBLEMS
    assert len(error.message) < 300


def test_subcategories_without_end_are_refused() -> None:
    result = deepcopy(STAGE2_EXAMPLE)
    place = result["menu"]["categories"][0]
    for _ in range(5_000):
        place["subcategories"] = [{"name": "Deeper", "items": [], "confidence": 1}]
        place = place["subcategories"][0]
    refused(result, "stage1")
    refused(result, "stage2")


def test_nesting_without_end_in_an_unknown_part_is_refused() -> None:
    tower: Any = {}
    for _ in range(100_000):
        tower = [tower]
    refused(mutated(STAGE2_EXAMPLE, ("unknown",), tower), "stage1")
    while tower:  # taken down step by step: freeing it at once would recurse as deeply
        tower = tower[0]


def test_a_result_that_contains_itself_is_refused() -> None:
    result = deepcopy(STAGE2_EXAMPLE)
    result["unknown"] = result
    refused(result, "stage1")


def test_what_an_extractor_says_beyond_the_schema_is_kept() -> None:
    result = mutated(STAGE2_EXAMPLE, (*ITEM, "allergens"), ["nuts"])
    assert validate_result(result, "stage1")["menu"]["categories"][0]["items"][0]["allergens"] == ["nuts"]


def test_text_that_merely_spells_an_escape_is_not_taken_for_nul() -> None:
    result = mutated(STAGE2_EXAMPLE, (*ITEM, "description"), r"printed as \u0000 on the menu")
    assert validate_result(result, "stage1") == result


@pytest.mark.parametrize("version", ["stage3", "", None])
def test_an_unknown_version_is_the_callers_mistake_not_the_results(version: Any) -> None:
    with pytest.raises(InvalidInputError):
        validate_result(STAGE2_EXAMPLE, version)


@pytest.mark.parametrize(
    "result", [None, [], {}, {"menu": None}, {"menu": []}, {"menu": {}}, {"menu": {"categories": {}}}, {"dishes": []}]
)
def test_results_of_the_first_generation_are_told_apart(result: Any) -> None:
    assert not has_categories(result)
