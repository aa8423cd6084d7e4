"""Connections to Redis, with time limits on everything that could hang."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import AuthenticationError
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
    tls_options(url)
    try:
        return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **{**TIMEOUTS, **options})
    except ValueError:
        raise _malformed() from None


def connect_redis_async(url: str, **options: Any) -> redis.asyncio.Redis:
    """The same for asyncio."""
    tls_options(url)
    try:
        return redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **{**TIMEOUTS, **options})
    except ValueError:
        raise _malformed() from None


def tls_options(url: str, setting: str = "REDIS_URL") -> dict[str, Any]:
    """What ``url`` says about TLS, under redis-py's names; where it says nothing, the certificate is verified.

    Raises ``InvalidInputError`` for what could not work, naming the ``setting``.
    """
    try:
        parsed: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        raise _malformed(setting) from None
    options = {"ssl_cert_reqs": "required"} | {name: one for name, one in parsed.items() if name.startswith("ssl_")}
    if options["ssl_cert_reqs"] not in ("required", "optional", "none"):
        raise _wrong(setting, "ssl_cert_reqs must be required, optional or none")
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if name in options and not Path(options[name]).is_file():
            raise _wrong(setting, f"{name} is not a file")
    return options


def trouble(error: Exception) -> str:
    """What broke a connection, in words that repeat nothing of its address."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "its TLS certificate is not trusted: check host and ssl_ca_certs in REDIS_URL"
    if isinstance(error, AuthenticationError):
        return "it refused the user or password in REDIS_URL"
    return type(error).__name__


def _malformed(setting: str = "REDIS_URL") -> InvalidInputError:
    return _wrong(setting, "give it as redis://host:6379/0")


def _wrong(setting: str, reason: str) -> InvalidInputError:
    return InvalidInputError(f"{setting} is wrong: {reason}.", setting=setting)
