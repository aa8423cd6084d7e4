"""The notifier's life: stand by, lead, relay, sleep, and begin again after any broken connection."""

from __future__ import annotations

import logging
import os
import signal
import time
from types import FrameType

import psycopg2
from redis.exceptions import RedisError

from jobqueue.database import Database, create_database_engine, psycopg2_url
from jobqueue.errors import JobQueueError
from jobqueue.redis_connection import connect_redis
from jobqueue.replay import reconnect_delay
from jobqueue.settings import Settings
from worker.celery_app import app
from worker.notifier.dispatcher import Dispatcher
from worker.notifier.relay import Relay
from worker.notifier.retention import Retention
from worker.notifier.sweeper import Sweeper
from worker.notifier.wake_up import WakeUpConnection

log = logging.getLogger(__name__)

STANDBY_POLL_SECONDS = 0.25
# A lost notification costs at most this long.
MAX_SLEEP_SECONDS = 1.0
SAY_AGAIN_AFTER_SECONDS = 30.0
# Under load rounds begin at least this far apart, so that one round takes many events; after a quiet moment the first
# event does not wait.
ROUND_SECONDS = 0.003


class Notifier:
    """Runs until ``stop`` is called (SIGTERM and SIGINT do so once ``handle_signals`` was called)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        engine = create_database_engine(
            settings.required_database_url, application_name="menu-jobqueue notifier", pool_size=1
        )
        self._database = Database(engine)
        self._redis = connect_redis(settings.required_redis_url)
        self._dispatcher = Dispatcher(app)
        self._listen_dsn = libpq_url(settings.notifier_url)
        self._stopping = False
        self._interrupt, self._interrupt_write = os.pipe()
        os.set_blocking(self._interrupt_write, False)
        self._failures = 0
        self._said_at = 0.0

    def handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def stop(self) -> None:
        self._stopping = True
        os.write(self._interrupt_write, b"x")

    def run(self) -> None:
        while not self._stopping:
            try:
                self._session()
            except (JobQueueError, RedisError, OSError) as error:
                self._pause_after(error)
        self._dispatcher.close()
        log.info("The notifier has stopped.")

    def _session(self) -> None:
        """One connection's worth of standing by and leading."""
        wake_up = _open(self._listen_dsn)
        try:
            self._stand_by(wake_up)
            if not self._stopping:
                with Retention(self._database, self._settings.retention_days):
                    self._lead(wake_up)
        except psycopg2.Error as error:
            raise ConnectionError("the connection to Postgres broke") from error
        finally:
            wake_up.close()

    def _stand_by(self, wake_up: WakeUpConnection) -> None:
        if wake_up.try_lead():
            return
        log.info("Another notifier leads; standing by.")
        while not self._stopping and not wake_up.try_lead():
            wake_up.wait(STANDBY_POLL_SECONDS, self._interrupt)

    def _lead(self, wake_up: WakeUpConnection) -> None:
        log.info("This notifier leads.")
        relay = Relay(self._database, self._redis, self._dispatcher)
        sweeper = Sweeper(self._database, self._dispatcher, self._settings.lease_seconds)
        relay.resume()
        announced = False
        while not self._stopping:
            began = time.monotonic()
            relay.drain()
            if sweeper.sweep():
                announced = wake_up.notify_mode() == "wake_up"
            self._recovered()
            if announced:
                self._sleep_announced(wake_up, relay)
            else:
                wake_up.wait(MAX_SLEEP_SECONDS, self._interrupt)
            time.sleep(max(0.0, began + ROUND_SECONDS - time.monotonic()))

    def _sleep_announced(self, wake_up: WakeUpConnection, relay: Relay) -> None:
        if not wake_up.try_announce_sleep():
            return  # a writer is about to commit without a notification: look again
        try:
            # Whoever committed before the announcement did not notify.
            if not relay.drain():
                wake_up.wait(MAX_SLEEP_SECONDS, self._interrupt)
        finally:
            wake_up.end_sleep()

    def _pause_after(self, error: Exception) -> None:
        """Wait before the next try; the log says it once and then now and then, however long it lasts."""
        now = time.monotonic()
        if self._failures == 0 or now - self._said_at >= SAY_AGAIN_AFTER_SECONDS:
            self._said_at = now
            log.warning("The notifier was interrupted (%s); trying again until it works.", error)
        self._failures += 1
        deadline = now + reconnect_delay(self._failures)
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _recovered(self) -> None:
        if self._failures:
            log.info("The notifier works again after %d failed tries.", self._failures)
            self._failures = 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.stop()


def _open(dsn: str) -> WakeUpConnection:
    try:
        return WakeUpConnection(dsn)
    except psycopg2.Error as error:
        raise ConnectionError(str(error).strip().splitlines()[0] if str(error).strip() else "no connection") from None


def libpq_url(url: str) -> str:
    """The URL as libpq wants it, without SQLAlchemy's driver name."""
    parsed = psycopg2_url(url)
    return str(parsed.set(drivername="postgresql").render_as_string(hide_password=False))
