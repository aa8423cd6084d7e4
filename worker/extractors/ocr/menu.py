"""The menu that the layout stages find, before it becomes a result."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.extractors.ocr.extras import Extra
from worker.extractors.ocr.link import Row


@dataclass(slots=True)
class FoundItem:
    """A dish with its row. ``certainty`` 0..1 is how sure the layout decisions about it were."""

    name: str
    description: str
    row: Row
    certainty: float
    description_lines: list[Row] = field(default_factory=list)
    extras: list[Extra] = field(default_factory=list)
    """What can be added to it for a surcharge."""


@dataclass(slots=True)
class FoundCategory:
    """A section: ``header`` is ``None`` for dishes that stand under no heading. ``rating`` is the header's."""

    name: str
    header: Row | None
    rating: float
    items: list[FoundItem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Aside:
    """Text that is no dish, with what it seems to be."""

    row: Row
    context: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Text that may be a dish, with the reason why that could not be decided."""

    row: Row
    reason: str
    category: str | None = None


@dataclass(slots=True)
class FoundMenu:
    """Everything on the page, each line in exactly one place."""

    categories: list[FoundCategory] = field(default_factory=list)
    asides: list[Aside] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
