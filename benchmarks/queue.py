"""The queue beside Celery with a hand-written status row, in one run: ``python -m benchmarks.queue``.

Both do the same work with the same worker settings: a no-op extraction of a small picture that is fetched through the
guarded download from loopback. Rounds alternate and medians are shown. What counts is the ratio: absolute figures
belong to the machine of the day.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from PIL import Image
from sqlalchemy import text

from benchmarks.stack import Stack
from benchmarks.systems import Handwritten, MenuJobqueue, System, add_user
from jobqueue import JobEvent, JobNotificationListener
from jobqueue.demo.picture_server import serve_picture

Figures = dict[str, list[float]]
DRAINED_WITHIN_SECONDS = 300.0


class Bench:
    def __init__(self, cleanup: ExitStack, options: argparse.Namespace) -> None:
        self._options = options
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        picture = folder / "menu.png"
        Image.new("RGB", (16, 16), "white").save(picture)
        url = cleanup.enter_context(serve_picture(picture))
        self._stack = Stack(
            cleanup,
            picture_host=url.split("/")[2],
            extractor="benchmarks.noop:NoopExtractor",
            connections=options.writers + 2,
        )
        self.settings, self.engine = self._stack.settings, self._stack.engine
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE menu_extraction_settings SET value = :mode"), {"mode": options.notify_mode})
        cleanup.enter_context(self._stack.process("notifier", ["worker.notifier"]))
        digest = sha256(picture.read_bytes()).hexdigest()
        self.systems: list[System] = [
            MenuJobqueue(self.engine, self.settings, url, digest),
            Handwritten(self.engine, url),
        ]

    def round(self, system: System, figures: Figures) -> None:
        count, writers = self._options.jobs, self._options.writers
        users = [add_user(self.engine) for _ in range(writers)]
        figures["submissions/s, one writer"].append(self._submit(system, users[:1], count // 2))
        figures[f"submissions/s, {writers} writers"].append(self._submit(system, users, count // 2))
        celery = ["celery", "-A", system.celery_app, "worker"]
        with self._stack.process(system.name, [*celery, "--concurrency=2", "--without-mingle", "--without-gossip"]):
            self._stack.until_drained(system.table, DRAINED_WITHIN_SECONDS)
            figures["jobs drained/s"].append(self._drain_rate(system))
            self._latencies(system, users[0], figures)
        with self.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {system.table} CASCADE"))

    def _submit(self, system: System, users: Sequence[uuid.UUID], count: int) -> float:
        system.submit(users[0])  # opens the connections
        began = time.perf_counter()
        if len(users) == 1:
            for _ in range(count):
                system.submit(users[0])
        else:
            with ThreadPoolExecutor(len(users)) as pool:
                list(pool.map(system.submit, [users[index % len(users)] for index in range(count)]))
        return count / (time.perf_counter() - began)

    def _drain_rate(self, system: System) -> float:
        with self.engine.connect() as connection:
            count, seconds = connection.execute(
                text(
                    "SELECT count(*), extract(epoch FROM max(completed_at) - min(started_at)) "
                    f"FROM {system.table} WHERE status = 'completed'"
                )
            ).one()
        return float(count) / float(seconds)

    def _latencies(self, system: System, user: uuid.UUID, figures: Figures) -> None:
        heard: list[float] = []

        def hear(event: JobEvent) -> None:
            heard.append((datetime.now(UTC) - event.at).total_seconds() * 1000)

        waited = []
        with JobNotificationListener(self.engine, settings=self.settings) as listener:
            if isinstance(system, MenuJobqueue):
                listener.subscribe(user, hear)
            for _ in range(self._options.singles):
                submitted = datetime.now(UTC)
                started = self._until_started(system, system.submit(user))
                waited.append((started - submitted).total_seconds() * 1000)
                self._stack.until_drained(system.table, DRAINED_WITHIN_SECONDS)
        _percentiles(figures, "submit -> start, ms", waited)
        if heard:
            _percentiles(figures, "commit -> subscriber, ms", heard)

    def _until_started(self, system: System, job_id: uuid.UUID) -> datetime:
        statement = text(f"SELECT started_at FROM {system.table} WHERE id = :id")
        while True:
            with self.engine.connect() as connection:
                started: datetime | None = connection.execute(statement, {"id": job_id}).scalar_one()
            if started is not None:
                return started
            time.sleep(0.002)


def _percentiles(figures: Figures, name: str, values: list[float]) -> None:
    ordered = sorted(values)
    figures[f"{name} (p50)"].append(statistics.median(ordered))
    figures[f"{name} (p99)"].append(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs per round and system")
    parser.add_argument("--singles", type=int, default=50, help="jobs submitted one by one to measure latency")
    parser.add_argument("--writers", type=int, default=4, help="threads that submit at the same time")
    parser.add_argument("--notify-mode", choices=("every_change", "wake_up"), default="every_change")
    options = parser.parse_args()
    figures: dict[str, Figures] = {}
    with ExitStack() as cleanup:
        bench = Bench(cleanup, options)
        for number in range(options.rounds):
            order = bench.systems if number % 2 == 0 else bench.systems[::-1]
            for system in order:
                sys.stderr.write(f"round {number + 1} of {options.rounds}: {system.name}\n")
                bench.round(system, figures.setdefault(system.name, defaultdict(list)))
    report(figures, [system.name for system in bench.systems])


def report(figures: dict[str, Figures], names: Sequence[str]) -> None:
    ours, other = names
    print(f"{'median of the rounds':<34} {ours:>16} {other:>20} {'ratio':>8}")
    for measure, values in figures[ours].items():
        mine = statistics.median(values)
        theirs = statistics.median(figures[other][measure]) if figures[other].get(measure) else None
        beside = f"{theirs:>20.2f} {mine / theirs:>8.2f}" if theirs else f"{'-':>20} {'-':>8}"
        print(f"{measure:<34} {mine:>16.2f} {beside}")


if __name__ == "__main__":
    main()
