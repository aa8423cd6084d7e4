"""What can be used of an answer that is almost a valid result: the malformed parts are taken out and said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from jobqueue.currencies import ISO_4217
from jobqueue.menu_result import SCHEMAS

DEFAULT_CATEGORY = "Menu"
DEFAULT_CURRENCY = "USD"
UNSTATED_CONFIDENCE = 0.5
LONGEST_CATEGORY_NAME = 100
LONGEST_TEXT = 200
MOST_MENDED = 200
"""An answer with more mistakes is not almost valid, and finding them takes a look at the whole of it for each."""
_OPTIONAL_OF_ITEM = frozenset({"description", "variants", "modifierGroups", "additional"})

Place = Sequence[int | str]


@dataclass(slots=True)
class Salvaged:
    """A valid result, and how many parts of the answer were taken out of it or replaced."""

    result: dict[str, Any]
    mended: int = 0
    notes: list[dict[str, Any]] = field(default_factory=list)

    def note(self, text: str, reason: str, **suggested: Any) -> None:
        """Say in ``uncertainItems`` what was wrong; called once for each part."""
        self.mended += 1
        self.notes.append({"text": text[:LONGEST_TEXT], "reason": reason, "confidence": 0.0, **suggested})


def salvage(answer: Any, schema_version: str) -> Salvaged | None:
    """The answer as a valid result of its schema version; ``None`` when nothing of it can be used."""
    if not isinstance(answer, dict):
        return None
    salvaged = Salvaged(_clean(answer))
    # Each round takes something out or replaces it, and nothing that was put right becomes wrong again.
    while (problem := _first_problem(salvaged.result, schema_version)) is not None:
        if salvaged.mended >= MOST_MENDED or not _mend(salvaged, *problem):
            return None
    salvaged.result.setdefault("uncertainItems", []).extend(salvaged.notes)
    salvaged.result.setdefault("superfluousText", [])
    return salvaged


def salvage_truncated(text: str, schema_version: str) -> Salvaged | None:
    """The same for an answer that was cut off: the entry in which it was cut is taken out too."""
    try:
        answer = from_json(text, allow_partial=True)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    cut = _take_out_last_entry(answer)
    salvaged = salvage(answer, schema_version)
    if salvaged is not None:
        name = cut.get("name") if isinstance(cut, dict) else None
        reason = "The model's answer was cut off at its length limit here; what follows on the menu is missing."
        salvaged.mended += 1
        salvaged.result["uncertainItems"].append(
            {"text": name[:LONGEST_TEXT] if isinstance(name, str) else "", "reason": reason, "confidence": 0.0}
        )
    return salvaged


def _clean(value: Any) -> Any:
    """Without what Postgres cannot store and without nulls, which say the same as an absent key."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode(errors="replace").decode()
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(one) for key, one in value.items() if one is not None}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN"  # no number, and no schema takes it for one
    return value


def _first_problem(result: dict[str, Any], schema_version: str) -> tuple[Place, str] | None:
    try:
        SCHEMAS[schema_version].model_validate(result)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        # The innermost first: an item without a price must not cost its category.
        worst = max(problems, key=lambda one: len(_existing(result, one["loc"])))
        return (*_existing(result, worst["loc"]), *_missing_key(result, worst["loc"])), worst["msg"]
    return None


def _existing(result: Any, loc: Place) -> Place:
    """As much of the place as exists in the data: pydantic also names the members of unions."""
    found: list[int | str] = []
    for step in loc:
        try:
            result = result[step]
        except (LookupError, TypeError):
            break
        found.append(step)
    return found


def _missing_key(result: Any, loc: Place) -> Place:
    existing = _existing(result, loc)
    parent = _at(result, existing)
    rest = loc[len(existing) :]
    return rest[:1] if isinstance(parent, dict) and rest and isinstance(rest[0], str) else ()


def _at(result: Any, place: Place) -> Any:
    for step in place:
        result = result[step]
    return result


def _mend(salvaged: Salvaged, place: Place, message: str) -> bool:
    """Put one problem right; false where nothing useful would be left."""
    if not place:
        return False
    parent, key = _at(salvaged.result, place[:-1]), place[-1]
    if place == ("currency",):
        return _mend_currency(salvaged)
    if key == "confidence" and isinstance(parent, dict):
        parent["confidence"] = UNSTATED_CONFIDENCE
        salvaged.mended += 1
        return True
    if key == "items" and _is_category(place[:-1]):
        parent["items"] = []
        salvaged.note(str(parent.get("name", "")), "The model's answer was malformed here (no list of items).")
        return True
    if key == "name" and _is_category(place[:-1]):
        name = parent.get("name")
        parent["name"] = (name.strip()[:LONGEST_CATEGORY_NAME] if isinstance(name, str) else "") or DEFAULT_CATEGORY
        salvaged.mended += 1
        return True
    return _take_out(salvaged, place, message)


def _mend_currency(salvaged: Salvaged) -> bool:
    given = salvaged.result.get("currency")
    upper = given.strip().upper() if isinstance(given, str) else ""
    salvaged.result["currency"] = upper if upper in ISO_4217 else DEFAULT_CURRENCY
    if upper not in ISO_4217:
        salvaged.note(DEFAULT_CURRENCY, f"The model named no currency; {DEFAULT_CURRENCY} is an assumption.")
    return True


def _take_out(salvaged: Salvaged, place: Place, message: str) -> bool:
    """Remove the smallest part that can go: an entry of a list or an optional key of an item."""
    for depth in range(len(place) - 1, -1, -1):
        parent, key = _at_or_none(salvaged.result, place[:depth]), place[depth]
        if isinstance(parent, list) and isinstance(key, int):
            _say(salvaged, place[: depth + 1], parent.pop(key), f"{_dotted(place[depth + 1 :])}{message}")
            return True
        if isinstance(parent, dict) and key in _removable(place[:depth]) and key in parent:
            del parent[key]
            _say(salvaged, place[:depth], parent, f"{_dotted(place[depth:])}{message}")
            return True
    return False


def _at_or_none(result: Any, place: Place) -> Any:
    try:
        return _at(result, place)
    except (LookupError, TypeError):
        return None


def _removable(place: Place) -> frozenset[str]:
    if _is_item(place):
        return _OPTIONAL_OF_ITEM
    if _is_category(place):
        return frozenset({"subcategories"})
    if not place:
        return frozenset({"uncertainItems", "superfluousText"})
    return frozenset({"setMenus"}) if place == ("menu",) else frozenset()


def _is_item(place: Place) -> bool:
    return len(place) >= 2 and place[-2] == "items"


def _is_category(place: Place) -> bool:
    return len(place) >= 2 and place[-2] in ("categories", "subcategories")


def _dotted(place: Place) -> str:
    return f"{'.'.join(str(step) for step in place)}: " if place else ""


def _say(salvaged: Salvaged, place: Place, part: Any, problem: str) -> None:
    """Note the part that is gone. ``place`` is where it, or the item it belonged to, stood."""
    known = part if isinstance(part, dict) else {}
    text = next((known[key] for key in ("name", "text") if isinstance(known.get(key), str)), "")
    suggested: dict[str, Any] = {}
    price = known.get("price")
    if isinstance(price, int | float) and not isinstance(price, bool) and price >= 0:
        suggested["suggestedPrice"] = price
    if _is_item(place):
        category = _at(salvaged.result, place[:-2])
        if isinstance(category, dict) and isinstance(category.get("name"), str):
            suggested["suggestedCategory"] = category["name"]
    salvaged.note(text, f"The model's answer was malformed here ({problem}).", **suggested)


def _take_out_last_entry(answer: dict[str, Any]) -> Any:
    """Remove and return the entry that the answer ends in: half a number would be a wrong price."""
    ends_in: Any = answer
    last_list: list[Any] | None = None
    while isinstance(ends_in, dict | list) and ends_in:
        if isinstance(ends_in, list):
            # The whole entry of an item, not the variant within it that was being written.
            if last_list is None or not _holds_items(last_list):
                last_list = ends_in
            ends_in = ends_in[-1]
        else:
            ends_in = ends_in[list(ends_in)[-1]]
    return last_list.pop() if last_list else None


def _holds_items(entries: list[Any]) -> bool:
    last = entries[-1] if entries else None
    return isinstance(last, dict) and "items" not in last and "subcategories" not in last
