"""Pictures that stop whoever reads them: each ends with a reason after four attempts, and the others go on."""

from __future__ import annotations

from sqlalchemy import Engine, text

from tests.acceptance.conftest import Application
from tests.processes import Processes

# What each does, with the error code it ends with and the words that tell its user.
POISON = {
    "kill": ("WORKER_LOST", "another photo"),
    "segfault": ("WORKER_LOST", "another photo"),
    "memory": ("OUT_OF_MEMORY", "ran out of memory"),
    "sleep": ("TIMEOUT", "took longer than"),
    "deaf": ("TIMEOUT", "broken off after more than 5 seconds"),
}
# They take as long as the limit each time, so they begin with two attempts spent.
SLOW = {"sleep", "deaf"}


def test_every_poison_picture_fails_with_a_reason_while_others_go_on(
    own_application: Application, processes: Processes, engine: Engine
) -> None:
    poison = {script: own_application.submit(script) for script in POISON}
    with engine.begin() as connection:
        for script in SLOW:
            spent = text("UPDATE menu_extraction_jobs SET attempt = 2 WHERE id = :id")
            connection.execute(spent, {"id": poison[script].id})
    others = [own_application.submit("ok") for _ in range(6)]
    limits = ("--soft-time-limit=5", "--time-limit=7")
    with (
        processes.notifier(JOBQUEUE_TIME_LIMIT="5"),
        processes.worker(*limits, concurrency=6, JOBQUEUE_TIME_LIMIT="5") as worker,
    ):
        ended = {script: own_application.finished(job, within=120) for script, job in poison.items()}
        finished = [own_application.finished(job) for job in others]
        assert worker.poll() is None
    codes = {script: job.error_code for script, job in ended.items()}
    assert codes == {script: code for script, (code, _words) in POISON.items()}
    for script, (_code, words) in POISON.items():
        executions = 2 if script in SLOW else 4
        assert words in str(ended[script].error)
        assert "4 of 4" in str(ended[script].error)
        assert ended[script].attempt == 4
        assert own_application.executions(poison[script]) == executions
        assert own_application.story(poison[script]) == ["queued", "processing"] * executions + ["failed"]
    last = max(job.completed_at for job in ended.values() if job.completed_at is not None)
    assert [job.status for job in finished] == ["completed"] * len(others)
    assert all(job.completed_at is not None and job.completed_at < last for job in finished)
