"""The extracted menu as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobqueue.embedded.local_stack import Step
from jobqueue.job import ExtractionJob


def show_result(job: ExtractionJob, console: Console) -> None:
    """The stored ``result`` as it is, then as a table."""
    result = job.result or {}
    console.print("\nStored in menu_extraction_jobs.result:")
    console.print_json(data=result, indent=1)
    table = Table(title="\nThe menu", title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("Category", style="cyan")
    table.add_column("Dish")
    table.add_column("Price", justify="right")
    table.add_column("Confidence", justify="right")
    previous = None
    for category, item in _items(result["menu"]["categories"]):
        dish = escape(item["name"])
        if item.get("description"):
            dish += f"\n[dim]{escape(item['description'])}[/]"
        table.add_row(
            escape(category) if category != previous else "",
            dish,
            f"{item['price']:.2f} {result['currency']}",
            f"{item['confidence']:.2f}",
        )
        previous = category
    console.print(table)
    _show_rest(result, console)


def show_failure(job: ExtractionJob, console: Console) -> None:
    console.print(f"\n[red]The job failed[/] ({job.error_code}): {escape(job.error or '')}", highlight=False)


def show_timings(steps: list[Step], console: Console) -> None:
    console.print("\nHow long it took:")
    for step in steps:
        console.print(f"  {step.name:<42} {step.seconds:6.2f} s", highlight=False)


def _items(categories: list[dict[str, Any]], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for category in categories:
        name = f"{above} / {category['name']}" if above else category["name"]
        for item in category["items"]:
            yield name, item
        yield from _items(category.get("subcategories", []), name)


def _show_rest(result: dict[str, Any], console: Console) -> None:
    for title, key in (("Left for a person to decide", "uncertainItems"), ("Not part of the menu", "superfluousText")):
        found = result.get(key, [])
        if found:
            console.print(f"\n{title}:")
            for one in found:
                why = one.get("reason") or one.get("context") or ""
                console.print(f"  {escape(one['text'])}  [dim]({escape(why)})[/]", highlight=False)
