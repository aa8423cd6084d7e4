"""Printing: JSON for machines, tables for people, and never a control character of somebody else's text."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobqueue.errors import JobQueueError
from jobqueue.job import ExtractionJob
from jobqueue.json_shapes import Shape
from jobqueue.menu_result import validate_result

# Wide enough that a program reading a table does not find its ids folded.
PIPE_WIDTH = 240
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(value: Any) -> str:
    """``value`` as text that a terminal only shows: control, formatting and invisible characters are replaced.

    Menus and errors come from pictures and servers of strangers; an escape sequence in them could rewrite the screen.
    """
    return "".join(_printable(char) for char in str(value))


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char in "\t\r\n" or unicodedata.category(char) == "Zs" else REPLACEMENT


def print_json(answer: Shape | Mapping[str, Any]) -> None:
    """One line, ASCII only: every other character is escaped."""
    document = answer.model_dump(mode="json") if isinstance(answer, Shape) else answer
    click.echo(json.dumps(document))


def print_error(message: str) -> None:
    click.echo(f"Error: {printable(message)}", err=True)


def discard_output() -> None:
    """What could not be written is not tried again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """The last column takes what width is left; ``None`` is empty."""
    *narrow, last = columns
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in narrow:
        table.add_column(column, no_wrap=True)
    table.add_column(last, overflow="fold")
    for row in rows:
        # Text, and not str, because rich would read markup in it.
        table.add_row(*(Text(_cell(value)) for value in row))
    _console().print(table)


def print_fields(fields: Mapping[str, Any]) -> None:
    """One line a field; fields without a value are left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value is not None:
            table.add_row(name, Text(_cell(value)))
    _console().print(table)


def print_menu(job: ExtractionJob) -> None:
    """The dishes of a completed job."""
    if job.result is None:
        return
    try:
        result = validate_result(job.result, job.schema_version)
    except JobQueueError:
        click.echo("The result is of an older format; --json shows it.")
        return
    rows = [
        (category, f"{item['price']:.2f} {result['currency']}", f"{item['confidence']:.2f}", item["name"])
        for category, item in _items(result["menu"]["categories"])
    ]
    print_table(["Category", "Price", "Confidence", "Dish"], rows)


def _items(categories: list[dict[str, Any]], above: str = "") -> Iterable[tuple[str, dict[str, Any]]]:
    for category in categories:
        name = f"{above}{category['name']}"
        for item in category["items"]:
            yield name, item
        yield from _items(category.get("subcategories", []), f"{name} / ")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    if isinstance(value, float):
        return f"{value:.2f}"
    return printable(value)


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Leaves to the command what it ends with; rich would end the process here."""
        raise BrokenPipeError


def _console() -> Console:
    # There is no stdout at all when the caller closed it.
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    return _Output(width=None if on_terminal else PIPE_WIDTH, highlight=False)
