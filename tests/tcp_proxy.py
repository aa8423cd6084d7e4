"""A TCP proxy that can cut, refuse or freeze the connections through it: real sockets that fail on command."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TcpProxy:
    """Forwards ``127.0.0.1:port`` to ``target``. One thread serves all connections."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._stranded: list[socket.socket] = []
        self._unanswered: bytes | None = None
        self._awaited: socket.socket | None = None
        self.swallowed = 0
        self._lock = threading.RLock()
        self._refusing = False
        self._frozen = False
        self._wake, self._woken = socket.socketpair()
        self._stopping = False
        self.cut_at: bytes | None = None
        """Whoever sends this loses their connection before it is carried on; the other connections live."""
        self.refused = 0
        """How often somebody tried to connect in vain."""
        self.on_connection: Callable[[], None] | None = None
        """Called whenever somebody has connected, before anything is carried for them."""

    @property
    def connections(self) -> int:
        with self._lock:
            return len(self._peers) // 2

    def cut(self) -> None:
        """Close every connection; new ones work."""
        with self._lock:
            for end in list(self._peers):
                self._drop(end)

    def refuse(self) -> None:
        """Close every connection and let none live until ``allow``: the server is away."""
        with self._lock:
            self._refusing = True
            self.cut()

    def allow(self) -> None:
        with self._lock:
            self._refusing = self._frozen = False
        self._wake.send(b"x")

    def freeze(self) -> None:
        """Keep the connections open but carry nothing: half-open, as after a network failure."""
        with self._lock:
            self._frozen = True

    def strand(self) -> None:
        """The present connections stay open and carry nothing ever again; new ones work."""
        with self._lock:
            for end in list(self._peers):
                self._selector.unregister(end)
            self._stranded += self._peers
            self._peers.clear()

    def swallow_next_answer_to(self, request: bytes) -> None:
        """Carry the next piece that contains ``request``, and close the connection when its answer comes."""
        with self._lock:
            self._unanswered = request

    @contextmanager
    def running(self) -> Iterator[None]:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping = True
            self._wake.send(b"x")
            thread.join()
            self.cut()
            self._selector.close()
            for end in (self._listener, self._wake, self._woken, *self._stranded):
                end.close()

    def _serve(self) -> None:
        while not self._stopping:
            for key, _mask in self._selector.select(0.02 if self._frozen else None):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._woken:
                        self._woken.recv(1024)
                    elif not self._frozen and isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                        self._carry(key.fileobj)

    def _accept(self) -> None:
        client, _address = self._listener.accept()
        if self._refusing:
            client.close()
            self.refused += 1
            return
        if self.on_connection is not None:
            self.on_connection()
        try:
            server = socket.create_connection(self._target)
        except OSError:  # the server itself is away
            client.close()
            return
        for end, other in ((client, server), (server, client)):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[end] = other
            self._selector.register(end, selectors.EVENT_READ)

    def _carry(self, end: socket.socket) -> None:
        try:
            data = end.recv(65_536)
            if data and end is self._awaited:
                self._awaited, data = None, b""
                self.swallowed += 1
            if data and not (self.cut_at and self.cut_at in data):
                if self._unanswered is not None and self._unanswered in data:
                    self._unanswered, self._awaited = None, self._peers[end]
                self._peers[end].sendall(data)
                return
        except OSError:
            data = b""
        self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        other = self._peers.pop(end, None)
        if other is None:
            return
        self._peers.pop(other, None)
        for one in (end, other):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)
            one.close()
