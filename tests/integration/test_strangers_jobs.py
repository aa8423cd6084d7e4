"""Nobody sees or changes another's job through any call that takes a user.

Each call is made by Bob twice: about a job of Alice's and about one that does not exist. Both answers must be the same
to the letter, hold nothing of Alice's and leave her rows as they are; Alice's own answer must differ, or the comparison
would prove nothing. The calls are found by looking, so that a new one without a line in these tables fails.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy.orm import Session

import jobqueue
from jobqueue import JobEvent
from jobqueue.events import user_channel
from jobqueue.legacy import ocr_operations
from tests.eventually import eventually
from tests.integration.jobs import queued
from tests.listener_sides import Inbox, Notifier, Side
from tests.strangers import STATES, Job, World, alike, answer, nobodys

Call = Callable[..., Any]

# A call that takes a user: (world, user, job, **session) -> answer.
CALLS: dict[str, Call] = {
    "JobQueueManager.submit_job": lambda w, u, j, **s: w.manager.submit_job(u, "https://b.example/", j.image_hash, **s),
    "JobQueueManager.submit_jobs": lambda w, u, j, **s: w.manager.submit_jobs(
        u, [{"image_url": "https://b.example/", "image_hash": j.image_hash}], **s
    ),
    "JobQueueManager.retry_job": lambda w, u, j, **s: w.manager.retry_job(j.id, u, **s),
    "JobQueueManager.cancel_job": lambda w, u, j, **s: w.manager.cancel_job(j.id, u, **s),
    "JobQueueManager.check_quota": lambda w, u, j: w.manager.check_quota(u).current,
    "JobQueueManager.check_rate_limit": lambda w, u, j: w.manager.check_rate_limit(u).current,
    "JobQueueManager.find_existing_job": lambda w, u, j: w.manager.find_existing_job(u, j.image_hash),
    "JobQueueManager.get_job_status": lambda w, u, j: w.manager.get_job_status(j.id, u),
    "JobQueueManager.list_user_jobs": lambda w, u, j: [
        w.manager.list_user_jobs(u, 1000),
        w.manager.list_user_jobs(u, 1000, before=j.id),
        [w.manager.list_user_jobs(u, 1000, status) for status in STATES],
    ],
    "JobQueueManager.job_history": lambda w, u, j: w.manager.job_history(j.id, u),
    "JobQueueManager.wait_for_job": lambda w, u, j: w.manager.wait_for_job(j.id, u, timeout=0.01),
    "ExtractionFeedback.give": lambda w, u, j, **s: w.feedback.give(j.id, u, "needs_improvement", **s),
    "ExtractionFeedback.on_job": lambda w, u, j: w.feedback.on_job(j.id, u),
    "poll_job_status": lambda w, u, j: jobqueue.poll_job_status(
        j.id, u, max_attempts=1, interval_ms=0, manager=w.manager
    ),
    "legacy.submit_job": lambda w, u, j: ocr_operations.submit_job(u, "https://b.example/", j.image_hash),
    "legacy.get_job": lambda w, u, j: ocr_operations.get_job(u, j.id),
    "legacy.get_user_jobs": lambda w, u, j: ocr_operations.get_user_jobs(u, 1000),
    "legacy.find_existing_job": lambda w, u, j: ocr_operations.find_existing_job(u, j.image_hash),
}
# Calls of the application and its operators; they act on anybody's job, which their docstrings and security.md say.
WITHOUT_A_USER = {
    "JobQueueManager.mark_job_completed",
    "JobQueueManager.mark_job_failed",
    "JobQueueManager.close",
    "ExtractionFeedback.figures",
    "ExtractionFeedback.close",
    "JobNotificationListener.close",
    "AsyncJobNotificationListener.close",
    "compute_sha256_from_url",
    "legacy.update_job",
    "legacy.use_database",
}
# What belongs to one job or event that the caller has already.
OF_A_VALUE = {"ExtractionJob", "JobEvent", "JobHistoryEntry", "Settings", "SubmissionResult", "JobStatus"}
SUBSCRIPTIONS = {
    "JobNotificationListener.events",
    "JobNotificationListener.subscribe",
    "AsyncJobNotificationListener.events",
    "AsyncJobNotificationListener.subscribe",
}


def public_calls() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in jobqueue.__all__:
        thing = getattr(jobqueue, name)
        if inspect.isfunction(thing):
            found[name] = thing
        elif not issubclass(thing, Exception) and name not in OF_A_VALUE:
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                if not method.startswith("_"):
                    found[f"{name}.{method}"] = function
    for name, function in inspect.getmembers(ocr_operations, inspect.isfunction):
        if function.__module__ == ocr_operations.__name__ and not name.startswith("_"):
            found[f"legacy.{name}"] = function
    return found


def test_every_public_call_is_in_a_table() -> None:
    found = public_calls()
    assert found.keys() == CALLS.keys() | WITHOUT_A_USER | SUBSCRIPTIONS
    takes_a_user = {name for name, call in found.items() if "user_id" in inspect.signature(call).parameters}
    assert takes_a_user == CALLS.keys() | SUBSCRIPTIONS


def in_a_session(world: World, call: Call, user: UUID, job: Job) -> Any:
    with Session(world.engine) as session:
        return call(world, user, job, session=session)  # rolled back


@pytest.mark.parametrize("name", CALLS)
def test_a_call_tells_a_stranger_nothing(world: World, name: str) -> None:
    call = CALLS[name]
    ways: list[Callable[[UUID, Job], Any]] = [lambda user, job: call(world, user, job)]
    if "session" in inspect.signature(public_calls()[name]).parameters:
        ways.append(lambda user, job: in_a_session(world, call, user, job))
    before = world.rows()
    told_bob, told_alice = set(), set()
    for ask in ways:
        for job in (*world.hers(), nobodys()):
            bob = world.stranger_with_a_job()
            said = answer(partial(ask, bob, job))
            assert [trace for trace in world.traces(job) if trace in said] == []
            told_bob.add(alike(said, job, bob))
    assert len(told_bob) == 1
    assert world.rows() == before
    for job in world.hers():
        told_alice.add(alike(answer(partial(call, world, world.alice, job)), job, world.alice))
    assert not told_alice <= told_bob


def test_a_subscription_tells_a_stranger_nothing(
    world: World, side: Side, notifier: Notifier, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    bob, hers, his = world.stranger(), Inbox(), Inbox()
    side.subscribe(bob, his, after=0)
    side.subscribe(world.alice, hers, after=0)
    events = notifier.relay()
    assert hers.wait_for(len(events)) == [event.cursor for event in events]
    eventually(lambda: notifier.subscribers(bob) == 1, what="Bob's subscription")
    # Somebody who may publish on Redis sends Bob what is Alice's, and what would hide all that comes after it.
    forged = json.loads(events[-1].to_json()) | {"cursor": 2**62}
    redis_client.publish(user_channel(bob), json.dumps(forged))
    own = queued(world.manager, bob)
    notifier.relay()
    assert his.wait_for(1)
    assert [(event.job_id, event.user_id) for event in his.events] == [(own.id, bob)]
    assert "is not a job event of this user" in caplog.text


def test_an_event_loads_no_job_of_another(world: World, side: Side, notifier: Notifier) -> None:
    bob, his = world.stranger(), Inbox()
    side.subscribe(bob, his, after=0)
    eventually(lambda: notifier.subscribers(bob) == 1, what="Bob's subscription")
    event = next(one for one in notifier.number() if one.job_id == world.jobs["completed"].id)
    own = queued(world.manager, bob)
    notifier.relay()
    his.wait_for(1)
    assert his.events[0].job() == world.manager.get_job_status(own.id)
    forged = JobEvent(**{**{f: getattr(event, f) for f in ("status", "confidence", "attempt", "seq", "cursor", "at")},
                         "job_id": event.job_id, "user_id": bob})  # fmt: skip
    assert forged.with_loader(his.events[0]._load or (lambda _id: None)).job() is None
