"""Pictures that stop whoever reads them: each ends with a reason after four attempts, and the others go on."""

from __future__ import annotations

from jobqueue import ExtractionJob
from tests.acceptance.conftest import Application
from tests.processes import Processes

POISON = {
    "kill": ("WORKER_LOST", "another photo"),
    "segfault": ("WORKER_LOST", "another photo"),
    "swollen": ("WORKER_LOST", "another photo"),
    "memory": ("OUT_OF_MEMORY", "ran out of memory"),
    "sleep": ("TIMEOUT", "took longer than"),
    "deaf": ("TIMEOUT", "had to be broken off"),
}


def test_every_poison_picture_fails_with_a_reason_while_others_go_on(
    own_application: Application, processes: Processes
) -> None:
    def submit(script: str) -> ExtractionJob:
        return own_application.submit(script)

    limits = ("--soft-time-limit=1", "--time-limit=3")
    with (
        processes.notifier(JOBQUEUE_TIME_LIMIT="1"),
        processes.worker(*limits, concurrency=6, JOBQUEUE_TIME_LIMIT="1") as worker,
    ):
        poison = {script: submit(script) for script in POISON}
        others = [submit("ok") for _ in range(10)]
        ended = {script: own_application.finished(job, within=90) for script, job in poison.items()}
        finished = [own_application.finished(job) for job in others]
        assert worker.poll() is None
    assert {script: job.error_code for script, job in ended.items()} == {
        script: code for script, (code, _words) in POISON.items()
    }
    for script, (_code, words) in POISON.items():
        assert words in str(ended[script].error)
        assert "4 of 4" in str(ended[script].error)
        assert own_application.executions(poison[script]) == 4
        assert own_application.story(poison[script]) == ["queued", "processing"] * 4 + ["failed"]
    last = max(job.completed_at for job in ended.values() if job.completed_at is not None)
    assert [job.status for job in finished] == ["completed"] * len(others)
    assert all(job.completed_at is not None and job.completed_at < last for job in finished)
