"""The guarded download: redirects, statuses and sizes, all within one deadline."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import NoReturn

import httpcore

from jobqueue.errors import ImageRejectedError
from jobqueue.extraction import TransientExtractionError
from jobqueue.fetch.deadline import Deadline
from jobqueue.fetch.image_address import ImageAddress, parse_image_address
from jobqueue.fetch.pinned_connection import PinnedBackend
from jobqueue.settings import MEGABYTE, Settings

UNAVAILABLE = "IMAGE_UNAVAILABLE"
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
_REQUEST_HEADERS: dict[bytes | str, bytes | str] = {
    "User-Agent": "menu-jobqueue",
    "Accept": "image/jpeg, image/png, image/webp, */*;q=0.1",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def download(url: str, settings: Settings) -> bytes:
    """The bytes at ``url``: at most ``max_image_bytes`` of them, within ``fetch_timeout`` seconds in all.

    Every address on the way must be public unless its host is listed in ``private_image_hosts``. Proxies of the
    environment are not used. Raises ``ImageRejectedError``, and ``TransientExtractionError`` (``IMAGE_UNAVAILABLE``)
    where trying again later may help.
    """
    deadline = Deadline(settings.fetch_timeout)
    address = parse_image_address(url)
    with _trouble_in_words(settings.fetch_timeout):
        for _ in range(MAX_REDIRECTS + 1):
            answer = _request(address, settings, deadline)
            if isinstance(answer, bytes):
                return answer
            address = answer
    raise ImageRejectedError(
        f"The address redirects more than {MAX_REDIRECTS} times; use the picture's own link.",
        reason="too_many_redirects",
    )


def _request(address: ImageAddress, settings: Settings, deadline: Deadline) -> bytes | ImageAddress:
    connection = httpcore.HTTPConnection(
        httpcore.URL(address.url).origin,
        ssl_context=_tls() if address.scheme == "https" else None,
        network_backend=PinnedBackend(address, settings.private_image_hosts, deadline),
    )
    headers = {**_REQUEST_HEADERS, "Host": address.host_header}
    with connection, connection.stream("GET", address.url, headers=headers) as response:
        answered = {name.lower(): value.decode("utf-8", "replace") for name, value in response.headers}
        if response.status in _REDIRECTS and (location := answered.get(b"location")):
            return address.redirected(location)
        if response.status != HTTPStatus.OK:
            _refuse_status(response.status, answered.get(b"retry-after"))
        if answered.get(b"content-encoding", "identity").strip().lower() != "identity":
            raise ImageRejectedError(
                "The address sends the picture compressed a second time (Content-Encoding); serve it as it is.",
                reason="content_encoding",
            )
        return _read(response, answered.get(b"content-length"), settings.max_image_bytes)


def _read(response: httpcore.Response, declared: str | None, limit: int) -> bytes:
    # httpcore has already refused a length that is not a plain number.
    if declared is not None and int(declared) > limit:
        _refuse_size(limit)
    received = bytearray()
    for chunk in response.iter_stream():
        received += chunk
        if len(received) > limit:
            _refuse_size(limit)
    return bytes(received)


def _refuse_size(limit: int) -> NoReturn:
    raise ImageRejectedError(
        f"The picture is larger than {limit / MEGABYTE:g} MB; send a smaller one.", reason="too_large", limit=limit
    )


def _refuse_status(status: int, retry_after: str | None) -> NoReturn:
    try:
        named = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        named = str(status)
    if status in _TRANSIENT_STATUSES or 500 <= status <= 599:
        raise TransientExtractionError(f"The address answered {named}.", UNAVAILABLE, _seconds(retry_after))
    raise ImageRejectedError(
        f"The address answered {named}; check that the link still works.", reason="http_status", status=status
    )


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds from now, given there as seconds or as a date; None where it is neither."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


@contextmanager
def _trouble_in_words(timeout: float) -> Iterator[None]:
    # The causes are cut off (`from None`) because their texts hold addresses of our own network.
    try:
        yield
    except TimeoutError:
        message = f"The picture could not be downloaded within {timeout:g} seconds."
        raise TransientExtractionError(message, UNAVAILABLE) from None
    except ssl.SSLCertVerificationError:
        raise ImageRejectedError(
            "The address has no valid certificate; use a link that a browser opens without a warning.",
            reason="certificate",
        ) from None
    except socket.gaierror:
        # A name that does not exist (EAI_NONAME) counts as transient like every other failure of the resolver: one
        # without a network says the same.
        message = "The host name in the address could not be found; check that the link still works."
        raise TransientExtractionError(message, UNAVAILABLE) from None
    except OSError:
        raise TransientExtractionError("The connection to the address failed.", UNAVAILABLE) from None
    except httpcore.ProtocolError:
        message = "The address broke off its answer or did not answer in HTTP."
        raise TransientExtractionError(message, UNAVAILABLE) from None


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
