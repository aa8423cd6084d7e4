"""The verdict on a run: what the database holds and what the subscribers saw, against what was promised."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from jobqueue.retry_policy import MAX_ATTEMPTS
from tests.faults.extractor import executions
from tests.faults.load import Piece
from tests.faults.subscribers import Seen

JOBS = text("""
    SELECT id, image_hash, status, attempt, error_code, error_message,
           result -> 'superfluousText' -> 0 ->> 'text' AS execution
    FROM menu_extraction_jobs
""")
EVENTS = text("""
    SELECT job_id, seq, status, attempt, worker, error_code FROM menu_extraction_job_events ORDER BY job_id, seq
""")
FINAL = ("completed", "failed")


@dataclass
class Verdict:
    """The figures of a run and, in words, everything that was not as promised."""

    submitted: int = 0
    completed: int = 0
    failed: int = 0
    lost: int = 0
    twice: int = 0
    events: int = 0
    seen: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def blame(self, problem: str) -> None:
        self.problems.append(problem)


def audit(
    connection: Connection,
    submitted: Mapping[UUID, Piece],
    journal: Path,
    subscribers: Sequence[Sequence[Seen]],
    wearing_out: bool = False,
) -> Verdict:
    """``wearing_out``: a job may fail because four workers in a row were killed under it."""
    verdict = Verdict(submitted=len(submitted))
    jobs = {row.id: row for row in connection.execute(JOBS)}
    histories: dict[UUID, list[Row[Any]]] = defaultdict(list)
    for event in connection.execute(EVENTS):
        histories[event.job_id].append(event)
    executed = executions(journal)
    for job_id, piece in submitted.items():
        if job_id not in jobs:
            verdict.lost += 1
            verdict.blame(f"job {job_id} was accepted and is not in the table")
            continue
        # A worker that is asked to stop gives its jobs back uncharged.
        charged = jobs[job_id].attempt - sum(e.error_code == "WORKER_STOPPED" for e in histories[job_id])
        _judge_end(verdict, jobs[job_id], piece, charged, wearing_out)
        _judge_history(verdict, jobs[job_id], histories[job_id], executed.get(piece.number, []))
    _judge_doubled_submissions(verdict, jobs, submitted)
    expected = {(e.job_id, e.seq) for history in histories.values() for e in history}
    verdict.events = len(expected)
    for name, seen in zip("ABCDEF", subscribers, strict=False):
        _judge_subscriber(verdict, name, seen, expected)
    return verdict


def _judge_end(verdict: Verdict, job: Row[Any], piece: Piece, charged: int, wearing_out: bool) -> None:
    if job.status == "completed":
        verdict.completed += 1
        if piece.expected_code is not None:
            verdict.blame(f"job {job.id} completed, although its script is {piece.script}")
    elif job.status == "failed" and job.error_code and job.error_message:
        verdict.failed += 1
        worn_out = wearing_out and job.error_code == "WORKER_LOST" and charged == MAX_ATTEMPTS
        if not worn_out and job.error_code != piece.expected_code:
            verdict.blame(f"job {job.id} ({piece.script}) failed with {job.error_code}: {job.error_message}")
    else:
        verdict.lost += 1
        verdict.blame(f"job {job.id} ({piece.script}) ended {job.status} in attempt {job.attempt}, {job.error_code}")
    if charged > MAX_ATTEMPTS:
        verdict.blame(f"job {job.id} was attempted {charged} times")


def _judge_history(verdict: Verdict, job: Row[Any], history: Sequence[Row[Any]], executed: Sequence[str]) -> None:
    numbers = [event.seq for event in history]
    if numbers != list(range(1, len(history) + 1)):
        verdict.blame(f"job {job.id} has a hole in its events: {numbers}")
    faults = [*_of_attempts(job, history), *_of_executions(job, history, executed)]
    if faults:
        story = " ".join(f"{event.status}/{event.attempt}" for event in history)
        verdict.twice += 1
        verdict.blame(f"job {job.id} was executed twice in effect: {'; '.join(faults)} (history: {story})")


def _of_attempts(job: Row[Any], history: Sequence[Row[Any]]) -> Iterator[str]:
    """Each attempt begins once and ends once, and the job finishes once."""
    if sum(event.status in FINAL for event in history) > 1:
        yield "finished more than once"
    attempt = 0
    for event in history:
        attempt += event.status == "processing"
        if event.attempt != attempt:
            yield f"{event.status} by attempt {event.attempt} where {attempt} was due"
    if job.attempt != attempt:
        yield f"attempt {job.attempt} in the row, {attempt} in the history"


def _of_executions(job: Row[Any], history: Sequence[Row[Any]], executed: Sequence[str]) -> Iterator[str]:
    """No execution without a claim, and the result is the last claim's."""
    claims = [event for event in history if event.status == "processing"]
    if len(executed) > len(claims):
        yield f"{len(executed)} executions for {len(claims)} claims"
    if job.execution is not None and job.execution.split()[0] != claims[-1].worker.split("/")[-2]:
        yield f"the result is of process {job.execution.split()[0]}, the last claim of {claims[-1].worker}"


def _judge_doubled_submissions(
    verdict: Verdict, jobs: Mapping[UUID, Row[Any]], submitted: Mapping[UUID, Piece]
) -> None:
    for digest, count in Counter(row.image_hash for row in jobs.values()).items():
        if count > 1:
            verdict.blame(f"the picture {digest[:12]} was submitted once and has {count} jobs")
    strangers = len(jobs.keys() - submitted.keys())
    if strangers:
        verdict.blame(f"{strangers} job(s) in the table that submit_job never returned")


def _judge_subscriber(verdict: Verdict, name: str, seen: Sequence[Seen], expected: set[tuple[UUID, int]]) -> None:
    times = Counter((one.job_id, one.seq) for one in seen)
    verdict.seen.append(len(expected & times.keys()))
    missed = expected - times.keys()
    repeated = [event for event, count in times.items() if count > 1]
    if missed:
        verdict.blame(f"subscriber {name} missed {len(missed)} events, for example {next(iter(missed))}")
    if times.keys() - expected:
        verdict.blame(f"subscriber {name} saw {len(times.keys() - expected)} events that never happened")
    if repeated:
        verdict.blame(f"subscriber {name} was given {len(repeated)} events more than once, for example {repeated[0]}")
    if disordered(seen):
        verdict.blame(f"subscriber {name} saw events of one job out of order: {disordered(seen)[:3]}")
    if [one.cursor for one in seen] != sorted(one.cursor for one in seen):
        verdict.blame(f"subscriber {name} saw cursors out of order")


def disordered(seen: Iterable[Seen]) -> list[UUID]:
    """Jobs of which a later event was seen for the first time before an earlier one."""
    highest: dict[UUID, int] = defaultdict(int)
    known: set[tuple[UUID, int]] = set()
    wrong = []
    for one in seen:
        if (one.job_id, one.seq) not in known and one.seq < highest[one.job_id]:
            wrong.append(one.job_id)
        known.add((one.job_id, one.seq))
        highest[one.job_id] = max(highest[one.job_id], one.seq)
    return wrong
