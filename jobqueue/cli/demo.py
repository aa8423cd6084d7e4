"""``jobqueue demo``."""

from __future__ import annotations

import click
from rich.console import Console

from jobqueue.demo.run import run_demo


@click.command()
@click.argument("source", required=False, metavar="[PATH|URL]")
@click.pass_context
def demo(ctx: click.Context, source: str | None) -> None:
    """Run everything on this machine and extract one menu: a sample, or the picture at PATH or URL.

    DATABASE_URL and REDIS_URL replace the embedded servers, each by itself.
    """
    ctx.exit(run_demo(source, Console()))
