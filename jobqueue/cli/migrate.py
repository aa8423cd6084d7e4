"""``jobqueue migrate``."""

from __future__ import annotations

import click

from jobqueue.database import create_database_engine
from jobqueue.migration import migrate as bring_up_to_date
from jobqueue.settings import load_settings


@click.command()
def migrate() -> None:
    """Bring the database at DATABASE_URL to this version's tables."""
    engine = create_database_engine(load_settings().required_database_url)
    try:
        bring_up_to_date(engine)
    finally:
        engine.dispose()
    click.echo("The database is up to date.")
