"""``jobqueue``: the group of commands and the one place where errors become a sentence and an exit code."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import click

from jobqueue.cli.api import api
from jobqueue.cli.cancel import cancel
from jobqueue.cli.demo import demo
from jobqueue.cli.explain import explain
from jobqueue.cli.health import health
from jobqueue.cli.history import history
from jobqueue.cli.list_jobs import list_jobs
from jobqueue.cli.migrate import migrate
from jobqueue.cli.notifier import notifier
from jobqueue.cli.prune import prune
from jobqueue.cli.quota import quota
from jobqueue.cli.retry import retry
from jobqueue.cli.stats import stats
from jobqueue.cli.status import status
from jobqueue.cli.submit import submit
from jobqueue.cli.up import up
from jobqueue.cli.watch import watch
from jobqueue.errors import InvalidInputError, JobQueueError


class OneLineErrors(click.Group):
    """Ends with one sentence: exit code 2 for wrong input or settings, 1 for everything else that went wrong.

    The commands that act on jobs answer their own errors, more finely.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except JobQueueError as error:
            click.echo(f"Error: {error.message}", err=True)
            ctx.exit(2 if isinstance(error, InvalidInputError) else 1)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("menu-jobqueue"), prog_name="jobqueue")
def main() -> None:
    """A durable job queue that turns photographed menus into dishes and prices."""


for command in (
    demo,
    up,
    migrate,
    notifier,
    api,
    submit,
    status,
    watch,
    list_jobs,
    retry,
    cancel,
    quota,
    history,
    stats,
    health,
    prune,
    explain,
):
    main.add_command(command)
