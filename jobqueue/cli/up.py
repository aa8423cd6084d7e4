"""``jobqueue up``."""

from __future__ import annotations

import click
from rich.console import Console

from jobqueue.embedded.local_stack import LocalStack
from jobqueue.embedded.loopback_port import is_free
from jobqueue.embedded.stop_signals import stop_signals_raise

FLOWER_PORT = 5555


@click.command()
@click.option("--concurrency", default=1, show_default=True, type=click.IntRange(1, 64), help="Jobs at a time.")
@click.option("--flower-port", type=click.IntRange(1, 65535), help="Flower's port; 5555 or a free one by default.")
def up(concurrency: int, flower_port: int | None) -> None:
    """Run Postgres, Valkey, a worker, the notifier and Flower until Ctrl-C.

    DATABASE_URL and REDIS_URL replace the embedded servers, each by itself. The embedded database keeps its data.
    """
    console = Console()
    if flower_port is None and is_free(FLOWER_PORT):
        flower_port = FLOWER_PORT
    try:
        with (
            stop_signals_raise(),
            LocalStack(concurrency=concurrency, flower_port=flower_port, keep_data=True) as stack,
        ):
            _describe(stack, console)
            stack.wait()
    except KeyboardInterrupt:
        console.print("\nStopped.")


def _describe(stack: LocalStack, console: Console) -> None:
    for step in stack.steps:
        console.print(f"  {step.name:<28} {step.seconds:5.1f} s", highlight=False)
    console.print()
    console.print(f"  DATABASE_URL={stack.settings.required_database_url}", highlight=False, soft_wrap=True)
    console.print(f"  REDIS_URL={stack.settings.required_redis_url}", highlight=False, soft_wrap=True)
    console.print(f"  Flower  {stack.flower_url}", highlight=False)
    console.print(f"  Logs    {stack.log_folder}", highlight=False, soft_wrap=True)
    console.print("\nRunning. Ctrl-C stops everything.")
