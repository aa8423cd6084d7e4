"""Connections to Redis, with time limits on everything that could hang."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobqueue.errors import InvalidInputError

# Without socket_timeout a call to a frozen server hangs for ever.
TIMEOUTS: dict[str, Any] = {"socket_timeout": 10, "socket_connect_timeout": 3, "socket_keepalive": True}

# While a subscription waits for a frozen server, nobody looks into the event log.
SUBSCRIBER_TIMEOUTS: dict[str, Any] = {"socket_timeout": 3}


def connect_redis(url: str, **options: Any) -> redis.Redis:
    """A client for ``url``; nothing is sent yet. Raises ``InvalidInputError`` for a malformed URL.

    It does not repeat failed commands: a subscription that redis-py renews by itself hides the gap in between.
    """
    try:
        return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **{**TIMEOUTS, **options})
    except ValueError:
        raise _malformed() from None


def connect_redis_async(url: str, **options: Any) -> redis.asyncio.Redis:
    """The same for asyncio."""
    try:
        return redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **{**TIMEOUTS, **options})
    except ValueError:
        raise _malformed() from None


def _malformed() -> InvalidInputError:
    return InvalidInputError("REDIS_URL is wrong: give it as redis://host:6379/0.", setting="REDIS_URL")
