"""Databases with the old table, before and after the upgrade."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from jobqueue.database import create_database_engine
from jobqueue.migration import migrate
from tests.integration.old_database import (
    OLD_ROWS,
    script,
)
from tests.old_table import OLD_DATABASE


@pytest.fixture
def bare(empty_database_url: str) -> Iterator[Engine]:
    made = create_database_engine(empty_database_url)
    yield made
    made.dispose()


@pytest.fixture
def old(bare: Engine) -> Engine:
    script(bare, OLD_DATABASE + OLD_ROWS)
    return bare


@pytest.fixture
def upgraded(old: Engine) -> Engine:
    migrate(old)
    return old
