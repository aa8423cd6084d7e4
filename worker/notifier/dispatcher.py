"""Handing due jobs to Celery: one message per job, which may come twice or never without harm."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from celery import Celery
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerError

from jobqueue.errors import QueueUnavailableError

log = logging.getLogger(__name__)

TASK = "worker.tasks.extract_menu"
# Half of the lead's term: kombu asks more than once, and another notifier may reach the broker.
IMPATIENT = {"socket_timeout": 1.5, "socket_connect_timeout": 1.5}


class Dispatcher:
    """Owns one broker connection and opens a new one after any error."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Any = None
        self._producer: Any = None

    def dispatch(self, job_ids: Sequence[UUID]) -> None:
        """Send a message for each job. Raises ``QueueUnavailableError``; some may have been sent by then."""
        if not job_ids:
            return
        try:
            producer = self._open()
            with producer.batch():
                for job_id in job_ids:
                    # The task's id is the job's, so that operators find a job in Flower.
                    self._app.send_task(TASK, args=(str(job_id),), task_id=str(job_id), producer=producer, retry=False)
        except self._broker_errors() as error:
            self.close()
            raise QueueUnavailableError("The message broker could not be reached.") from error

    def waiting_messages(self) -> int:
        """How many messages wait in the queue for a worker. Raises ``QueueUnavailableError``."""
        try:
            channel = self._open().channel
            queue = self._app.conf.task_default_queue
            return int(channel.queue_declare(queue=queue, passive=True).message_count)
        except self._broker_errors() as error:
            if self._connection is not None and isinstance(error, self._connection.channel_errors):
                return 0  # the queue does not exist before its first message, and in Redis not while it is empty
            self.close()
            raise QueueUnavailableError("The message broker could not be reached.") from error

    def close(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except (KombuError, OSError, BrokerError):
                log.debug("Closing a broken broker connection failed.", exc_info=True)

    def _open(self) -> Any:
        if self._producer is None:
            self._connection = self._app.connection_for_write()
            if self._connection.transport_cls in ("redis", "rediss"):
                self._connection.transport_options.update(IMPATIENT)
            self._producer = self._app.amqp.Producer(self._connection)
        return self._producer

    def _broker_errors(self) -> tuple[type[Exception], ...]:
        connection = self._connection or self._app.connection_for_write()
        return (KombuError, OSError, *connection.connection_errors, *connection.channel_errors)
