"""The notifier's life: stand by, lead, relay, sleep, and begin again after any broken connection."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from types import FrameType
from uuid import uuid4

import psycopg2
from redis.exceptions import RedisError
from sqlalchemy import func
from sqlalchemy import select as sql_select

from jobqueue.database import Database, create_database_engine, psycopg2_url, unavailable
from jobqueue.errors import JobQueueError
from jobqueue.redis_connection import connect_redis
from jobqueue.replay import reconnect_delay
from jobqueue.settings import Settings
from jobqueue.store.leadership import Lead, LeadLostError, release_lead, take_lead
from jobqueue.store.recovery import AttemptLimits
from worker.celery_app import app
from worker.notifier.dispatcher import Dispatcher
from worker.notifier.outage_log import OutageLog
from worker.notifier.publisher import Publisher, StaleTermError
from worker.notifier.relay import Relay
from worker.notifier.retention import Retention, retention_engine
from worker.notifier.sweeper import Sweeper
from worker.notifier.wake_up import WakeUpConnection
from worker.postgres_deadline import DeadlineConnection, limit_waits

log = logging.getLogger(__name__)

STANDBY_POLL_SECONDS = 0.25
# Notifiers that cannot work hand the lead to each other; standing by for longer means that another one can.
SURELY_LED_AFTER_SECONDS = 5.0
# A lost notification costs at most this long; the lead is renewed with every look.
MAX_SLEEP_SECONDS = 1.0
# Under load rounds begin at least this far apart, so that one round takes many events; after a quiet moment the first
# event does not wait.
ROUND_SECONDS = 0.003
MAX_WAKEFUL_WAIT_SECONDS = 0.1
# Whoever failed asks for the lead again only when every standby has had its turn.
MIN_PAUSE_SECONDS = 2 * STANDBY_POLL_SECONDS
MAX_PAUSE_SECONDS = 1.0
# Well within the term of the lead: another notifier may reach Redis where this one does not.
REDIS_TIMEOUTS = {"socket_timeout": 1.5, "socket_connect_timeout": 1.5}


class Notifier:
    """Runs until ``stop`` is called (SIGTERM and SIGINT do so once ``handle_signals`` was called)."""

    def __init__(self, settings: Settings) -> None:
        limit_waits()
        self._settings = settings
        engine = create_database_engine(
            settings.required_database_url,
            application_name="menu-jobqueue notifier",
            pool_size=1,
            connect_args={"connection_factory": DeadlineConnection},
        )
        self._database = Database(engine)
        self._retention_database = Database(retention_engine(settings.required_database_url))
        self._redis = connect_redis(settings.required_redis_url, **REDIS_TIMEOUTS)
        self._dispatcher = Dispatcher(app)
        self._listen_dsn = libpq_url(settings.notifier_url)
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._newest_seen = 0
        self._address_proven = False
        self._stopping = False
        self._interrupt, self._interrupt_write = os.pipe()
        os.set_blocking(self._interrupt_write, False)
        self._outage = OutageLog(log)
        self._said = ""

    def handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def stop(self) -> None:
        self._stopping = True
        os.write(self._interrupt_write, b"x")

    def run(self) -> None:
        """Raises ``SessionLostError`` when the address to listen at can bring no notification."""
        while not self._stopping:
            try:
                self._session()
            except (JobQueueError, RedisError, OSError) as error:
                self._outage.failed(error)
                self._pause(min(max(reconnect_delay(self._outage.failures), MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS))
        self._dispatcher.close()
        log.info("The notifier has stopped.")

    def _session(self) -> None:
        """Standing by, then leading until something breaks or somebody else leads."""
        if not self._address_proven:
            self._open_wake_up().close()
            self._address_proven = True
        lead = self._stand_by()
        if lead is None:
            return
        try:
            with Retention(self._retention_database, self._settings.retention_days):
                self._lead(lead)
        except LeadLostError:
            log.debug("Term %d has ended.", lead.term)
        except StaleTermError as error:
            self._newest_seen = error.newest
        finally:
            self._release(lead)

    def _stand_by(self) -> Lead | None:
        """The lead, once nobody else has it; ``None`` when the notifier is to stop."""
        began = time.monotonic()
        while not self._stopping:
            lead = self._database.statement(
                lambda connection: take_lead(connection, self._name, newest_seen=self._newest_seen)
            )
            if lead is not None:
                return lead
            self._say("Another notifier leads; standing by.")
            if time.monotonic() - began >= SURELY_LED_AFTER_SECONDS:
                self._outage.works()
            self._pause(STANDBY_POLL_SECONDS)
        return None

    def _lead(self, lead: Lead) -> None:
        wake_up = self._open_wake_up()
        try:
            self._relay_and_sweep(lead, wake_up)
        except psycopg2.Error as error:
            raise unavailable(error) from error
        finally:
            wake_up.close()

    def _relay_and_sweep(self, lead: Lead, wake_up: WakeUpConnection) -> None:
        publisher = Publisher(self._redis, lead.term, lead.installation)
        relay = Relay(self._database, publisher, self._dispatcher, lead, stopping=lambda: self._stopping)
        limits = AttemptLimits(self._settings.time_limit, self._settings.lease_seconds)
        sweeper = Sweeper(self._database, self._dispatcher, lead, limits)
        relay.resume()
        announced = False
        missed = 0
        while not self._stopping:
            began = time.monotonic()
            relayed = relay.drain()
            if sweeper.sweep():
                relay.look_after_redis()
                announced = wake_up.notify_mode() == "wake_up"
            self._say("This notifier leads.")
            self._outage.works()
            if relay.has_more:
                missed = 0
                continue
            if not announced:
                wake_up.wait(MAX_SLEEP_SECONDS, self._interrupt)
            elif self._sleep_announced(wake_up, relay):
                missed = 0
            else:
                missed = 0 if relayed else missed + 1
                wake_up.wait(min(ROUND_SECONDS * 2.0 ** min(missed, 10), MAX_WAKEFUL_WAIT_SECONDS), self._interrupt)
            time.sleep(max(0.0, began + ROUND_SECONDS - time.monotonic()))

    def _sleep_announced(self, wake_up: WakeUpConnection, relay: Relay) -> bool:
        """Sleep; false when somebody holds the lock.

        That is a writer who is about to commit without a notification, so look again soon; or a leader before, who was
        stopped in its sleep: then every writer notifies.
        """
        if not wake_up.try_announce_sleep():
            return False
        try:
            # Whoever committed before the announcement did not notify.
            if not relay.drain() and not relay.has_more:
                wake_up.wait(MAX_SLEEP_SECONDS, self._interrupt)
        finally:
            wake_up.end_sleep()
        return True

    def _release(self, lead: Lead) -> None:
        try:
            self._database.statement(lambda connection: release_lead(connection, lead.term))
        except JobQueueError:
            log.debug("The lead could not be given back; it ends by itself.")

    def _open_wake_up(self) -> WakeUpConnection:
        try:
            return WakeUpConnection(self._listen_dsn, self._notify)
        except psycopg2.Error as error:
            raise unavailable(error) from None

    def _notify(self, channel: str, payload: str) -> None:
        self._database.statement(lambda connection: connection.execute(sql_select(func.pg_notify(channel, payload))))

    def _say(self, state: str) -> None:
        if state != self._said:
            self._said = state
            log.info(state)

    def _pause(self, seconds: float) -> None:
        if not self._stopping:
            select.select([self._interrupt], [], [], seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.stop()


def libpq_url(url: str) -> str:
    """The URL as libpq wants it, without SQLAlchemy's driver name."""
    parsed = psycopg2_url(url)
    return str(parsed.set(drivername="postgresql").render_as_string(hide_password=False))
