"""``jobqueue quota``."""

from __future__ import annotations

import click

from jobqueue.cli.job_command import JobCommand, open_manager, user_option
from jobqueue.cli.output import print_json, print_table
from jobqueue.json_shapes import quota_answer
from jobqueue.limits import UNLIMITED


@click.command(cls=JobCommand)
@user_option()
def quota(user: str, as_json: bool) -> None:
    """Show what is left of a user's month and hour."""
    with open_manager() as manager:
        month, hour = manager.check_quota(user), manager.check_rate_limit(user)
    if as_json:
        print_json(quota_answer(month, hour))
        return
    rows = [
        ("This month (UTC)", month.current, _limit(month.limit), month.allowed, month.resets_at),
        ("60 minutes", hour.current, _limit(hour.limit), hour.allowed, None if hour.allowed else hour.reset_at),
    ]
    print_table(["Period", "Used", "Limit", "One more", "Free again"], rows)


def _limit(limit: int) -> str:
    return "unlimited" if limit == UNLIMITED else str(limit)
