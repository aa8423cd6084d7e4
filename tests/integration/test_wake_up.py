"""The notifier's own connection to Postgres."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import Engine, func, select, text

from jobqueue.database import create_database_engine
from jobqueue.migration import migrate
from worker.notifier.wake_up import Notify, WakeUpConnection


def notifying(engine: Engine) -> Notify:
    """Another session than the one that listens."""

    def notify(channel: str, payload: str) -> None:
        with engine.begin() as connection:
            connection.execute(select(func.pg_notify(channel, payload)))

    return notify


@pytest.mark.parametrize("mode", ["every_change", "wake_up"])
def test_the_mode_is_the_databases(database_url: str, engine: Engine, mode: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_settings SET value = :mode"), {"mode": mode})
    with closing(WakeUpConnection(database_url, notifying(engine))) as wake_up:
        assert wake_up.notify_mode() == mode


def test_without_the_setting_every_change_notifies(empty_database_url: str) -> None:
    engine = create_database_engine(empty_database_url)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM menu_extraction_settings"))
    with closing(WakeUpConnection(empty_database_url, notifying(engine))) as wake_up:
        assert wake_up.notify_mode() == "every_change"
    engine.dispose()
