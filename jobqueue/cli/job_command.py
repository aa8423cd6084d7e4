"""What the commands that act on jobs have in common: ``--json``, ``--user``, errors and exit codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from jobqueue.cli.exit_codes import FAILED, INTERRUPTED, MEANINGS, NOBODY_READS, exit_code
from jobqueue.cli.output import discard_output, print_error, print_json
from jobqueue.errors import InvalidInputError, JobQueueError
from jobqueue.json_shapes import error_answer
from jobqueue.manager import JobQueueManager

USER_ENVIRONMENT = "JOBQUEUE_USER"
JSON_HELP = "Print JSON for machines, in the shapes of the HTTP API (camelCase); errors too, as {error, code}."


class JobCommand(click.Command):
    """Every error is one sentence on stderr, or with ``--json`` an object on stdout, and an exit code."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "epilog": MEANINGS})
        self.params.append(click.Option(["--json", "as_json"], is_flag=True, help=JSON_HELP))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        for_machines = "--json" in args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not for_machines:
                raise
            _print_usage_error(error)
            raise click.exceptions.Exit(error.exit_code) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return self._invoke(ctx)
        except BrokenPipeError:
            discard_output()
            ctx.exit(NOBODY_READS)
        except OSError as error:
            # No other reaches this: those of the database, Redis and the pictures' hosts are typed errors.
            discard_output()
            print_error(f"The output cannot be written ({error.strerror}).")
            ctx.exit(FAILED)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except JobQueueError as error:
            if ctx.params["as_json"]:
                print_json(error_answer(error))
            else:
                print_error(error.message)
            ctx.exit(exit_code(error))
        except click.UsageError as error:
            if not ctx.params["as_json"]:
                raise
            _print_usage_error(error)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _print_usage_error(error: click.UsageError) -> None:
    print_json(error_answer(InvalidInputError(error.format_message())))


def user_option(*, required: bool = True) -> Callable[[Any], Any]:
    owner = "The user's id." if required else "Only a job of this user; without it anybody's."
    return click.option("--user", envvar=USER_ENVIRONMENT, show_envvar=True, required=required, help=owner)


class Seconds(click.FloatRange):
    """A finite number, 0 or more."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{seconds} is not a number of seconds.", param, ctx)
        return seconds


timeout_option = click.option(
    "--timeout", default=300.0, show_default=True, type=Seconds(), help="Seconds to wait at most."
)


@contextmanager
def open_manager() -> Iterator[JobQueueManager]:
    """A manager from the settings, closed with the block."""
    manager = JobQueueManager()
    try:
        yield manager
    finally:
        manager.close()
