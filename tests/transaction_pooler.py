"""A transaction-mode connection pooler: every transaction of a client runs on another connection of the server.

Like PgBouncer with ``pool_mode=transaction`` at its most unkind: whatever a client leaves in its session, somebody else
finds there, and it itself does not.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
READY, TERMINATE, IDLE = b"Z", b"X", b"I"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


class TransactionPooler:
    """Listens at ``port`` and keeps every connection to ``target`` that it ever opened for a client in one pool.

    With ``size`` it keeps that many and closes the others after the client's log-in.
    """

    def __init__(self, target: tuple[str, int], size: int | None = None) -> None:
        self._target = target
        self._room = size
        self._idle: deque[socket.socket] = deque()
        self._changed = threading.Condition()
        self.transactions_on: dict[int, int] = {}
        pooler = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    pooler._serve(self.request)
                except ConnectionError:
                    return

        self._listener = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._listener.server_address[1]

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            self._listener.shutdown()
            thread.join()
            self._listener.server_close()
            for server in self._idle:
                server.close()

    def _serve(self, client: socket.socket) -> None:
        startup = _read_startup(client)
        server = socket.create_connection(self._target)
        server.sendall(startup)
        _log_in(client, server)
        if self._has_room():
            self._give_back(server)
        else:
            server.close()
        while True:
            kind, message = _read_message(client)
            if kind == TERMINATE:
                return
            server = self._take()
            status = _exchange(client, server, message)
            while status != IDLE:
                try:
                    kind, message = _read_message(client)
                except ConnectionError:
                    kind = TERMINATE
                if kind == TERMINATE:  # in the middle of a transaction: the pooler rolls it back by hanging up
                    server.close()
                    return
                status = _exchange(client, server, message)
            self._give_back(server)

    def _take(self) -> socket.socket:
        with self._changed:
            self._changed.wait_for(lambda: self._idle)
            server = self._idle.popleft()
        number = server.fileno()
        self.transactions_on[number] = self.transactions_on.get(number, 0) + 1
        return server

    def _has_room(self) -> bool:
        with self._changed:
            if self._room is None:
                return True
            self._room -= 1
            return self._room >= 0

    def _give_back(self, server: socket.socket) -> None:
        with self._changed:
            self._idle.append(server)
            self._changed.notify()


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("the other end hung up")
        data += more
    return data


def _read_startup(client: socket.socket) -> bytes:
    while True:
        length = _read(client, 4)
        body = _read(client, struct.unpack("!i", length)[0] - 4)
        code = struct.unpack("!i", body[:4])[0]
        if code == CANCEL_REQUEST:
            raise ConnectionError("this pooler passes no cancel requests on")
        if code not in (SSL_REQUEST, GSS_REQUEST):
            return length + body
        client.sendall(b"N")


def _read_message(connection: socket.socket) -> tuple[bytes, bytes]:
    kind = _read(connection, 1)
    length = _read(connection, 4)
    return kind, kind + length + _read(connection, struct.unpack("!i", length)[0] - 4)


def _log_in(client: socket.socket, server: socket.socket) -> None:
    """Pass the client's own log-in through; the connection it opens then belongs to the pool."""
    while True:
        kind, message = _read_message(server)
        client.sendall(message)
        if kind == READY:
            return
        if kind == b"R" and struct.unpack("!i", message[5:9])[0] not in (0, 12):
            server.sendall(_read_message(client)[1])


def _exchange(client: socket.socket, server: socket.socket, message: bytes) -> bytes:
    """Pass one simple query on and its answer back; returns the transaction status that follows."""
    server.sendall(message)
    answer = b""
    while True:
        kind, part = _read_message(server)
        answer += part
        if kind == READY:
            client.sendall(answer)
            return part[5:6]
