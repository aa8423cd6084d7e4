"""A server with TLS in front of one without: it keeps every byte of the wire, and refuses whoever does not encrypt."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import trustme

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
HANDSHAKE = 0x16

Protocol = Literal["postgres", "redis"]


class TlsProxy:
    """``127.0.0.1:port`` speaks TLS with ``certificate`` and hands on in plain text to ``target``.

    ``postgres`` begins with the request for TLS that libpq sends; ``redis`` with TLS itself.
    """

    def __init__(self, target: tuple[str, int], certificate: trustme.LeafCert, protocol: Protocol) -> None:
        self._target = target
        self._protocol = protocol
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.wire = bytearray()
        """Everything that went over the wire, in both directions."""
        self.inside = bytearray()
        """What clients said, decrypted."""
        self.plain: list[bytes] = []
        """What clients sent instead of TLS."""
        self.encrypted = 0
        """How many connections finished their handshake."""
        self.broken_off = 0
        """How many clients did not like the certificate."""
        self.farewell_seconds = 0.0
        """How long it lets a client that says goodbye wait for its answer."""
        self.parted = 0
        """How many connections it ended after that."""

    @contextmanager
    def running(self) -> Iterator[TlsProxy]:
        acceptor = threading.Thread(target=self._accept, daemon=True)
        acceptor.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            self._listener.close()
            with self._lock:
                for one in self._open:
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._kept(client), contextlib.suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._wants_tls(client):
                _Tunnel(self, client, self._context).run(self._target)

    def _wants_tls(self, client: socket.socket) -> bool:
        first = client.recv(len(SSL_REQUEST), socket.MSG_PEEK)
        if self._protocol == "postgres" and first == SSL_REQUEST:
            client.recv(len(SSL_REQUEST))
            client.sendall(b"S")
            first = client.recv(1, socket.MSG_PEEK)
        if first and first[0] != HANDSHAKE:
            with self._lock:
                self.plain.append(client.recv(65_536))
        return bool(first) and first[0] == HANDSHAKE

    @contextmanager
    def _kept(self, end: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(end)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(end)
                end.close()

    def count(
        self, *, encrypted: int = 0, broken_off: int = 0, parted: int = 0, wire: bytes = b"", inside: bytes = b""
    ) -> None:
        with self._lock:
            self.encrypted += encrypted
            self.broken_off += broken_off
            self.parted += parted
            self.wire += wire
            self.inside += inside


class _Tunnel:
    """One connection. TLS happens in memory, so that the bytes of the wire can be kept."""

    def __init__(self, proxy: TlsProxy, client: socket.socket, context: ssl.SSLContext) -> None:
        self._proxy = proxy
        self._client = client
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._lock = threading.Lock()

    def run(self, target: tuple[str, int]) -> None:
        try:
            while not self._handshake():
                if not self._receive():
                    raise ssl.SSLEOFError
        except OSError:
            self._proxy.count(broken_off=1)
            return
        self._proxy.count(encrypted=1)
        with socket.create_connection(target) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._carry_back, args=(server,), daemon=True)
            back.start()
            try:
                self._carry_forth(server)
            finally:
                with contextlib.suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                back.join()

    def _handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._flush()
        return True

    def _receive(self) -> bool:
        data = self._client.recv(65_536)
        self._proxy.count(wire=data)
        with self._lock:
            self._incoming.write(data)
        return bool(data)

    def _flush(self) -> None:
        data = self._outgoing.read()
        self._proxy.count(wire=data)
        self._client.sendall(data)

    def _carry_forth(self, server: socket.socket) -> None:
        while True:
            try:
                with self._lock:
                    data = self._tls.read(65_536)
            except ssl.SSLWantReadError:
                if not self._receive():
                    return
                continue
            except ssl.SSLError:
                # Before TLS 1.3 a client says only now that it does not like the certificate.
                self._proxy.count(broken_off=1)
                return
            if not data:
                return
            self._proxy.count(inside=data)
            server.sendall(data)

    def _carry_back(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := server.recv(65_536):
                with self._lock:
                    self._tls.write(data)
                    self._flush()
            time.sleep(self._proxy.farewell_seconds)
            self._proxy.count(parted=1)
            self._client.shutdown(socket.SHUT_RDWR)
