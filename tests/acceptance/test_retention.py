"""Retention in the running system: the notifier prunes by itself, and a subscriber that was away too long is told."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from jobqueue import CursorExpiredError, JobNotificationListener, Settings
from tests.acceptance.conftest import Application
from tests.integration.pruned import made_old
from tests.processes import Processes

# Instead of a minute after it has taken the lead.
PRUNES_AT_ONCE = """
from worker.notifier import retention
retention.FIRST_AFTER_SECONDS = 0.0
from worker.notifier.__main__ import main
raise SystemExit(main())
"""


def test_old_jobs_go_while_the_rest_goes_on(
    own_application: Application, settings: Settings, engine: Engine, processes: Processes
) -> None:
    manager, user = own_application.manager, own_application.user_id
    with processes.worker():
        with processes.notifier():
            old, young = own_application.submit(), own_application.submit()
            assert [own_application.finished(job).status for job in (old, young)] == ["completed"] * 2
        pruning = [sys.executable, "-c", PRUNES_AT_ONCE]
        made_old(engine, old.id, datetime.now(UTC) - timedelta(days=100))
        with processes.running(pruning, "Pruned 1 jobs and 3 events", JOBQUEUE_RETENTION_DAYS="90"):
            assert manager.get_job_status(old.id) is None
            with JobNotificationListener(engine, settings=settings) as listener:
                with pytest.raises(CursorExpiredError) as caught:
                    listener.events(user, after=0)
                assert [job.id for job in caught.value.jobs] == [young.id]
                with listener.events(user, after=caught.value.cursor) as events:
                    image_hash = own_application.images.sha256("/menu.png")
                    answer = manager.submit_job(user, old.image_url, image_hash)
                    assert (answer.job.id, answer.cached) == (young.id, True)
                    again = own_application.submit()
                    seen = [next(events) for _ in range(3)]
        assert {one.job_id for one in seen} == {again.id}
        assert [one.status.value for one in seen] == ["queued", "processing", "completed"]
    assert manager.get_job_status(young.id) is not None
