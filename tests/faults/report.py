"""The table that a run of the fault tests ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

HEAD = (
    "fault",
    "jobs",
    "completed",
    "failed with reason",
    "lost",
    "executed twice",
    "events expected",
    "seen by A",
    "seen by B",
    "s to recover: first / longest pause / all",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One run. Times are seconds from the last fault until B hears of finished jobs: first, longest wait, last."""

    fault: str
    jobs: int
    completed: int
    failed: int
    lost: int
    twice: int
    events: int
    seen_a: int
    seen_b: int
    first: float | None
    pause: float
    all_done: float | None
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def cells(self) -> list[str]:
        seconds = " / ".join("-" if one is None else f"{one:.1f}" for one in (self.first, self.pause, self.all_done))
        figures = (self.jobs, self.completed, self.failed, self.lost, self.twice, self.events, self.seen_a, self.seen_b)
        return [self.fault, *map(str, figures), seconds]


def table(lines: Sequence[Line]) -> str:
    """In Markdown, so that it can be put into the documentation as it is."""
    rows = [list(HEAD), *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    first, *rest = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([first, rule, *rest])
