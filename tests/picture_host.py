"""A web server on loopback that answers exactly what a test scripts, byte for byte, and counts what it sends."""

from __future__ import annotations

import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, host: PictureHost, connection: socket.socket, path: str, headers: dict[str, str]) -> None:
        self.path = path
        self.headers = headers
        self._host = host
        self._connection = connection

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)
        self._host.count(len(data))

    def pause(self, seconds: float) -> bool:
        """Wait; False once the server is shutting down."""
        return not self._host.stopping.wait(seconds)

    def until_stopped(self) -> None:
        """Keep the connection open and say nothing."""
        self._host.stopping.wait()


Script = Callable[[Exchange], None]

NAIVE_CLIENT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""What most programs do with an address: open it."""


class PictureHost:
    """Serves ``scripts`` by path; anything else is 404. ``requests`` holds every request in order."""

    def __init__(self, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.scripts: dict[str, Script] = {}
        self.requests: list[Exchange] = []
        self.connections = 0
        self.bytes_sent = 0
        self.stopping = threading.Event()
        self._tls = tls
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family, backlog=64)
        self.address = address
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    @property
    def authority(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"http://{self.authority}{path}"

    def count(self, number: int) -> None:
        with self._lock:
            self.bytes_sent += number

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(20)
                if self._tls is None:
                    self._answer(connection)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as encrypted:
                        self._answer(encrypted)
        except OSError:
            pass  # the client hung up, which is what most tests want to see

    def _answer(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            part = connection.recv(65_536)
            if not part:
                return
            received += part
        request_line, *lines = received.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        exchange = Exchange(self, connection, request_line.split(" ")[1], headers)
        self.requests.append(exchange)
        self.scripts.get(exchange.path, answer(b"", status="404 Not Found"))(exchange)


def answer(body: bytes, *headers: str, status: str = "200 OK") -> Script:
    """A well-formed response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    response = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    return lambda exchange: exchange.send(response)


def redirect(location: str, status: str = "302 Found") -> Script:
    return answer(b"", f"Location: {location}", status=status)


def zeros(total: int, *headers: str, status: str = "200 OK") -> Script:
    """A body of ``total`` bytes, sent in pieces, under whatever headers are given."""

    def script(exchange: Exchange) -> None:
        exchange.send("\r\n".join([f"HTTP/1.1 {status}", *headers]).encode("latin-1") + b"\r\n\r\n")
        piece = bytes(65_536)
        for _ in range(total // len(piece)):
            exchange.send(piece)

    return script
