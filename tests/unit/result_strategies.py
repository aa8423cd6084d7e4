"""Hypothesis strategies for valid results of both schema versions."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from jobqueue.currencies import ISO_4217

Result = dict[str, Any]

# Postgres stores no NUL and UTF-8 has no surrogates; everything else a menu may say.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
TEXT = st.text(CHARACTERS, max_size=40)
CONFIDENCE = st.one_of(st.floats(0, 1), st.integers(0, 1))
PRICE = st.one_of(st.floats(0, 1e9), st.integers(0, 10**9))


def name(longest: int) -> st.SearchStrategy[str]:
    return st.text(CHARACTERS, min_size=1, max_size=longest).filter(lambda text: bool(text.strip()))


def part(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[Result]:
    return st.fixed_dictionaries(required, optional=optional or {})


ITEM = part(
    {"name": name(200), "price": PRICE, "confidence": CONFIDENCE}, {"description": st.text(CHARACTERS, max_size=500)}
)
VARIANT = part(
    {"price": PRICE, "confidence": CONFIDENCE},
    {"size": TEXT, "attributes": st.one_of(st.lists(TEXT, max_size=2), st.dictionaries(TEXT, TEXT, max_size=2))},
)
MODIFIER_GROUP = part(
    {
        "name": name(100),
        "type": st.sampled_from(["single", "multi"]),
        "required": st.booleans(),
        "options": st.lists(part({"name": name(200)}, {"priceDelta": st.floats(-100, 100)}), max_size=2),
    }
)
ADDITIONAL = part(
    {},
    {
        "servedWith": st.one_of(TEXT, st.lists(TEXT, max_size=2)),
        "forPax": st.integers(1, 20),
        "prepTimeMin": st.integers(0, 600),
        "notes": TEXT,
    },
)
STAGE2_ITEM = part(
    {"name": name(200), "price": PRICE, "confidence": CONFIDENCE},
    {
        "description": TEXT,
        "variants": st.lists(VARIANT, max_size=2),
        "modifierGroups": st.lists(MODIFIER_GROUP, max_size=2),
        "additional": ADDITIONAL,
    },
)
SET_MENU = part({"name": name(200)}, {"price": PRICE, "description": TEXT, "confidence": CONFIDENCE})
UNCERTAIN = part(
    {"text": TEXT, "reason": TEXT, "confidence": CONFIDENCE}, {"suggestedCategory": TEXT, "suggestedPrice": PRICE}
)
SUPERFLUOUS = part({"text": TEXT, "context": TEXT, "confidence": CONFIDENCE})


def categories(items: st.SearchStrategy[Result]) -> st.SearchStrategy[list[Result]]:
    leaf = part({"name": name(100), "items": st.lists(items, max_size=3), "confidence": CONFIDENCE})

    def nested(children: st.SearchStrategy[Result]) -> st.SearchStrategy[Result]:
        return part(
            {"name": name(100), "items": st.lists(items, max_size=2), "confidence": CONFIDENCE},
            {"subcategories": st.lists(children, max_size=2)},
        )

    return st.lists(st.recursive(leaf, nested, max_leaves=4), max_size=3)


def results(menu: st.SearchStrategy[Result]) -> st.SearchStrategy[Result]:
    return part(
        {"menu": menu, "currency": st.sampled_from(sorted(ISO_4217))},
        {
            "uncertainItems": st.lists(UNCERTAIN, max_size=2),
            "superfluousText": st.lists(SUPERFLUOUS, max_size=2),
        },
    )


STAGE1 = results(part({"categories": categories(ITEM)}))
STAGE2 = results(part({"categories": categories(STAGE2_ITEM)}, {"setMenus": st.lists(SET_MENU, max_size=2)}))
