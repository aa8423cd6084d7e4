"""Connecting to an address that was checked: looked up once, judged, and then connected to by number."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from typing import Any

import httpcore

from jobqueue.errors import ImageRejectedError
from jobqueue.fetch.deadline import Deadline
from jobqueue.fetch.image_address import ImageAddress
from jobqueue.fetch.reachable_address import may_reach

# What the resolver returns for one address: family, type, protocol, canonical name, socket address.
_Resolved = tuple[int, int, int, str, tuple[Any, ...]]


class PinnedBackend(httpcore.NetworkBackend):
    """Opens the one connection for ``wanted``; every read and write ends at ``deadline``.

    Timeouts that httpcore hands down are ignored: they start anew with each read, so a server that sends a byte now
    and then would never meet them.
    """

    def __init__(self, wanted: ImageAddress, private_hosts: Collection[str], deadline: Deadline) -> None:
        self._wanted = wanted
        self._private_hosts = private_hosts
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the host of `wanted`
        port: int,  # noqa: ARG002 - the port of `wanted`
        timeout: float | None = None,  # noqa: ARG002 - see the class
        local_address: str | None = None,  # noqa: ARG002 - none is ever bound
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - none are ever set
    ) -> httpcore.NetworkStream:
        resolved = _resolve(self._wanted, self._deadline)
        for *_, socket_address in resolved:
            if not may_reach(ipaddress.ip_address(socket_address[0]), self._wanted, self._private_hosts):
                raise ImageRejectedError(
                    "The address leads to a private network; use a link that works from the public internet.",
                    reason="not_public",
                )
        return _PinnedStream(_connect(resolved, self._deadline), self._deadline)


class _PinnedStream(httpcore.NetworkStream):
    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - see PinnedBackend
        self._connection.settimeout(self._deadline.remaining())
        return self._connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - see PinnedBackend
        self._connection.settimeout(self._deadline.remaining())
        self._connection.sendall(buffer)

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - see PinnedBackend
    ) -> httpcore.NetworkStream:
        self._connection.settimeout(self._deadline.remaining())
        try:
            encrypted = ssl_context.wrap_socket(self._connection, server_hostname=server_hostname)
        except BaseException:
            self._connection.close()
            raise
        return _PinnedStream(encrypted, self._deadline)

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002 - httpcore asks for the protocol: HTTP/1.1
        return None


def _resolve(wanted: ImageAddress, deadline: Deadline) -> list[_Resolved]:
    # The system's resolver cannot be given a timeout or interrupted, so it runs in a thread that nobody waits for
    # longer than the deadline.
    answer: Future[list[_Resolved]] = Future()

    def look_up() -> None:
        try:
            answer.set_result(list(socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)))
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
            answer.set_exception(error)

    threading.Thread(target=look_up, name="jobqueue-fetch-resolver", daemon=True).start()
    return answer.result(deadline.remaining())


def _connect(resolved: list[_Resolved], deadline: Deadline) -> socket.socket:
    failure: OSError = ConnectionError("the name resolved to no address")
    for position, (family, kind, protocol, _, socket_address) in enumerate(resolved):
        # An address that never answers leaves the others their share of the time.
        patience = deadline.remaining() / (len(resolved) - position)
        try:
            connection = socket.socket(family, kind, protocol)
        except OSError as error:
            failure = error
            continue
        try:
            connection.settimeout(patience)
            connection.connect(socket_address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure
