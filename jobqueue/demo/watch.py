"""Submitting the picture and showing each message as it arrives on the user's Redis channels."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from jobqueue.embedded.local_stack import LocalStack, Step
from jobqueue.errors import PollingTimeoutError, QueueUnavailableError
from jobqueue.events import progress_channel, user_channel
from jobqueue.job import ExtractionJob
from jobqueue.manager import JobQueueManager
from jobqueue.redis_connection import connect_redis
from jobqueue.states import JobStatus

PATIENCE_SECONDS = 300.0
COLOURS = {"queued": "cyan", "processing": "yellow", "completed": "green", "failed": "red"}


@dataclass(frozen=True, slots=True)
class Picture:
    url: str
    sha256: str


@dataclass(slots=True)
class Timeline:
    """When each stage and status was first heard of."""

    began: float
    marks: list[tuple[str, float]] = field(default_factory=list)

    def mark(self, name: str) -> None:
        if not self.marks or self.marks[-1][0] != name:
            self.marks.append((name, time.monotonic()))

    def steps(self) -> list[Step]:
        ends = [at for _, at in self.marks[1:]] + [time.monotonic()]
        return [Step(name, end - at) for (name, at), end in zip(self.marks, ends, strict=True)][:-1]


def watch_job(
    manager: JobQueueManager, stack: LocalStack, user_id: UUID, picture: Picture, console: Console
) -> tuple[ExtractionJob, list[Step]]:
    """Submit the picture and return the finished job, and how long each of its steps took."""
    client = connect_redis(stack.settings.required_redis_url)
    try:
        with client.pubsub() as messages:  # type: ignore[no-untyped-call]
            messages.subscribe(user_channel(user_id), progress_channel(user_id))
            timeline = Timeline(time.monotonic())
            timeline.mark("job stored")
            job = manager.submit_job(user_id, picture.url, picture.sha256).job
            timeline.mark("waiting for a worker")
            console.print(f"Submitted job {job.id}\n", highlight=False)
            _follow(messages, stack, job.id, timeline, console)
    except RedisError as error:
        raise QueueUnavailableError(f"The connection to Redis broke ({type(error).__name__}).") from None
    finally:
        client.close()
    finished = manager.get_job_status(job.id, user_id)
    if finished is None:
        raise QueueUnavailableError("The job has disappeared from the database.")
    return finished, timeline.steps()


def _follow(messages: Any, stack: LocalStack, job_id: UUID, timeline: Timeline, console: Console) -> None:
    progress = Progress(
        TextColumn("  {task.description:<12}"), BarColumn(40), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), console=console,
    )  # fmt: skip
    stages = Stages(progress)
    deadline = time.monotonic() + PATIENCE_SECONDS
    with progress:
        while time.monotonic() < deadline:
            stack.check()
            message = messages.get_message(ignore_subscribe_messages=True, timeout=0.2)
            if message is None:
                continue
            payload = json.loads(message["data"])
            if payload["id"] != str(job_id):
                continue
            if "stage" in payload:
                timeline.mark(payload["stage"])
                stages.advance(payload["stage"], payload["fraction"])
            else:
                _show_status(payload, timeline, progress.console)
                if JobStatus(payload["status"]).is_finished:
                    stages.finish()
                    timeline.mark("finished")
                    return
    raise PollingTimeoutError(f"The job did not finish within {PATIENCE_SECONDS:.0f} s; see {stack.log_folder}.")


class Stages:
    """One bar per stage, added when the stage is first heard of; the stages before it are over by then."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def advance(self, stage: str, fraction: float) -> None:
        if stage not in self._bars:
            self.finish()
            self._bars[stage] = self._progress.add_task(stage, total=1.0)
        self._progress.update(self._bars[stage], completed=fraction)

    def finish(self) -> None:
        for bar in self._bars.values():
            self._progress.update(bar, completed=1.0)


def _show_status(payload: dict[str, Any], timeline: Timeline, console: Console) -> None:
    colour = COLOURS[payload["status"]]
    sure = "" if payload["confidence"] is None else f"   confidence {payload['confidence']:.2f}"
    since = time.monotonic() - timeline.began
    console.print(
        f"{since:6.2f} s  [{colour}]{payload['status']:<10}[/]  "
        f"change {payload['seq']}, attempt {payload['attempt']}{sure}",
        highlight=False,
    )
