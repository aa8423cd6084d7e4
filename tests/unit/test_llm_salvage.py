"""What is kept of a model's almost valid answer, and that the rest is said."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobqueue.menu_result import validate_result
from tests.unit.result_strategies import STAGE1, STAGE2, Result
from tests.unit.test_menu_result import STAGE2_EXAMPLE
from worker.extractors.llm.salvage import MOST_MENDED, Salvaged, salvage, salvage_truncated

JUNK = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)


def answer(*items: Any, **category: Any) -> dict[str, Any]:
    return {
        "menu": {"categories": [{"name": "Food", "items": list(items), "confidence": 0.9, **category}]},
        "currency": "EUR",
    }


def item(**changed: Any) -> dict[str, Any]:
    return {"name": "Pho", "price": 9.5, "confidence": 0.9, **changed}


def mended(found: Any, schema_version: str = "stage1") -> Salvaged:
    salvaged = salvage(found, schema_version)
    assert salvaged is not None
    validate_result(salvaged.result, schema_version)
    return salvaged


def category_of(salvaged: Salvaged) -> dict[str, Any]:
    found: dict[str, Any] = salvaged.result["menu"]["categories"][0]
    return found


def doubt_of(salvaged: Salvaged) -> dict[str, Any]:
    (doubt,) = salvaged.result["uncertainItems"]
    assert isinstance(doubt, dict)
    return doubt


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STAGE1 | STAGE2)
def test_a_valid_answer_stays_as_it_is(result: Result) -> None:
    salvaged = mended(copy.deepcopy(result), "stage2")
    assert salvaged.mended == 0
    assert len(salvaged.result["menu"]["categories"]) == len(result["menu"]["categories"])


@pytest.mark.parametrize("price", [-1, "9.50", None, float("nan"), float("inf"), [9], True])
def test_an_item_without_a_proper_price_becomes_an_uncertain_one(price: Any) -> None:
    salvaged = mended(answer(item(), item(name="Crab", price=price)))
    assert [one["name"] for one in category_of(salvaged)["items"]] == ["Pho"]
    doubt = doubt_of(salvaged)
    assert (doubt["text"], doubt["suggestedCategory"], salvaged.mended) == ("Crab", "Food", 1)
    assert "price" in doubt["reason"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, 7, None])
def test_an_item_without_a_proper_name_keeps_its_price_as_a_hint(name: Any) -> None:
    assert doubt_of(mended(answer(item(), item(name=name))))["suggestedPrice"] == 9.5


def test_a_bad_description_costs_the_description_only() -> None:
    salvaged = mended(answer(item(description="x" * 501)))
    assert category_of(salvaged)["items"] == [item()]
    assert doubt_of(salvaged)["text"] == "Pho"


def test_a_bad_variant_costs_the_variant_only() -> None:
    variants = [{"size": "S", "price": 3, "confidence": 1}, {"size": "L", "price": "?", "confidence": 1}]
    salvaged = mended(answer(item(variants=variants)), "stage2")
    assert category_of(salvaged)["items"][0]["variants"] == variants[:1]
    assert salvaged.mended == 1


@pytest.mark.parametrize("confidence", [None, 2, "high"])
def test_a_confidence_that_is_none_is_put_in_the_middle(confidence: Any) -> None:
    salvaged = mended(answer(item(confidence=confidence), confidence=confidence))
    assert (category_of(salvaged)["confidence"], category_of(salvaged)["items"][0]["confidence"]) == (0.5, 0.5)
    assert salvaged.mended == 2


@pytest.mark.parametrize(("name", "kept"), [(None, "Menu"), ("", "Menu"), (3, "Menu"), ("x" * 101, "x" * 100)])
def test_a_category_does_not_lose_its_items_with_its_name(name: Any, kept: str) -> None:
    salvaged = mended(answer(item(), name=name))
    assert (category_of(salvaged)["name"], category_of(salvaged)["items"]) == (kept, [item()])


def test_a_category_without_items_keeps_its_subcategories() -> None:
    inner = {"name": "Cold", "items": [item()], "confidence": 0.5}
    salvaged = mended(answer(items=None, subcategories=[inner]))
    assert category_of(salvaged)["subcategories"] == [inner]


@pytest.mark.parametrize(
    ("given_currency", "kept"), [("eur", "EUR"), (" EUR ", "EUR"), ("€", "USD"), (None, "USD"), (7, "USD")]
)
def test_a_currency_that_does_not_exist_is_assumed_and_said(given_currency: Any, kept: str) -> None:
    salvaged = mended({**answer(item()), "currency": given_currency})
    assert salvaged.result["currency"] == kept
    assert any(doubt["text"] == "USD" for doubt in salvaged.result["uncertainItems"]) is (kept == "USD")


@pytest.mark.parametrize("useless", [None, 3, "menu", [], {}, {"menu": None}, {"menu": {"categories": {}}}])
def test_of_what_is_no_menu_nothing_can_be_used(useless: Any) -> None:
    assert salvage(useless, "stage1") is None


def test_an_answer_full_of_mistakes_is_not_looked_through_for_ever() -> None:
    assert salvage(answer(*[item(price="?")] * (MOST_MENDED + 1)), "stage1") is None


def test_what_postgres_cannot_store_is_left_out() -> None:
    salvaged = mended(answer(item(name="Ph\x00o"), item(name="\ud800 tea")))
    assert [one["name"] for one in category_of(salvaged)["items"]] == ["Pho", "? tea"]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, one in inner:
        yield from places(one, (*at, key))


@settings(deadline=None)
@given(st.sampled_from(list(places(STAGE2_EXAMPLE))), JUNK)
def test_whatever_is_wrong_with_an_answer_it_is_valid_afterwards_or_refused(place: tuple[Any, ...], junk: Any) -> None:
    broken: Any = copy.deepcopy(STAGE2_EXAMPLE)
    parent = broken
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = junk
    salvaged = salvage(broken, "stage2")
    if salvaged is None:
        assert place[0] == "menu"
    else:
        validate_result(salvaged.result, "stage2")


WRITTEN = json.dumps(STAGE2_EXAMPLE)


@settings(deadline=None)
@given(st.integers(0, len(WRITTEN) - 1))
def test_wherever_an_answer_is_cut_off_what_is_left_is_valid_and_says_so(length: int) -> None:
    salvaged = salvage_truncated(WRITTEN[:length], "stage2")
    if salvaged is not None:
        validate_result(salvaged.result, "stage2")
        assert any("cut off" in doubt["reason"] for doubt in salvaged.result["uncertainItems"])
        assert salvaged.mended > 0


def test_half_a_price_is_no_price() -> None:
    written = json.dumps(answer(item(), item(name="Crab", confidence=0.9, price=12.5)))
    for cut in (written.index("12.5") + 1, written.index("12.5") + 4, written.index("12.5") + 6):
        salvaged = salvage_truncated(written[:cut], "stage1")
        assert salvaged is not None
        assert [one["name"] for one in category_of(salvaged)["items"]] == ["Pho"]


def test_an_item_that_was_cut_off_within_its_variants_is_left_out_whole() -> None:
    sizes = [{"size": "S", "price": 7, "confidence": 0.9}, {"size": "L", "price": 12.5, "confidence": 0.9}]
    written = json.dumps(answer(item(), item(name="Crab", variants=sizes)))
    salvaged = salvage_truncated(written[: written.index("12.5") + 1], "stage2")
    assert salvaged is not None
    assert [one["name"] for one in category_of(salvaged)["items"]] == ["Pho"]
    assert "Crab" in {doubt["text"] for doubt in salvaged.result["uncertainItems"]}
