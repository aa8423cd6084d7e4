"""Keeps a worker's capacity when the broker does not take an acknowledgement.

kombu 5.7.0 (and every release before it) frees a message's place in the prefetch window only after Redis has taken the
acknowledgement. When that fails while the connection that messages come by survives (a stall longer than
``socket_timeout``, a reconnect that is refused, a Redis that refuses writes for a moment), the place is gone until the
connection is made anew. With a prefetch of one message for each slot a worker loses a slot each time; in the end it
answers pings and consumes nothing.

Here an acknowledgement that failed frees its place all the same. The message stays among Redis' unacknowledged ones,
comes again after the visibility timeout, and finds its job finished.
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis as redis_transport
from kombu.transport import virtual
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


class FreeingQoS(redis_transport.QoS):
    """The prefetch window of kombu's Redis transport, without places that are never freed."""

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            self._give_up(delivery_tag, error)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            self._give_up(delivery_tag, error)

    def _give_up(self, delivery_tag: str, error: Exception) -> None:
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
        log.warning("The broker did not take an acknowledgement (%s); the row decides.", type(error).__name__)


def install_acknowledgement() -> None:
    """Use it for every connection that this process opens to Redis as a broker."""
    channel: Any = redis_transport.Channel
    channel.QoS = FreeingQoS
