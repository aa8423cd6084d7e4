"""The outside world for the guarded download: names and public addresses that end at servers on loopback.

Only the two doors of the operating system are replaced, looking a name up and connecting a socket, so everything that
decides in between runs as it is. Nothing ever leaves the machine.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any, Self

import pytest

_getaddrinfo = socket.getaddrinfo
_connect = socket.socket.connect


class SmallInternet:
    """``names`` gives each host its successive answers, of which the last repeats; ``routes`` leads addresses to ports.

    ``connected`` lists the (address, port) pairs that sockets were asked for, other than loopback ports that
    ``routes`` was going to lead to anyway.
    """

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.routes: dict[str, int] = {}
        self.connected: list[tuple[str, int]] = []
        self.any_name: str | None = None
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        internet = self

        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            return internet._look_up(host, port)

        def connect(connection: socket.socket, address: Any) -> None:
            host, port, *_ = address
            internet.connected.append((host, port))
            if host in internet.routes:
                _connect(connection, ("127.0.0.1", internet.routes[host]))
            elif host.startswith("127.") or host == "::1":
                _connect(connection, address)
            else:
                raise ConnectionRefusedError(f"{host} is not on this small internet")

        self._patch.setattr(socket, "getaddrinfo", getaddrinfo)
        self._patch.setattr(socket.socket, "connect", connect)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patch.undo()

    def _look_up(self, host: Any, port: Any) -> Any:
        if host in self.names:
            answers = self.names[host]
            addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        elif self.any_name is not None:
            addresses = [self.any_name]
        else:
            addresses = [host]
        return [
            resolved
            for address in addresses
            for resolved in _getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        ]
