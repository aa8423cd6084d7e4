"""Pictures over real HTTP on the loopback interface, with a count of the requests for each address."""

from __future__ import annotations

import hashlib
import io
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode, urlsplit

from PIL import Image

MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "pdf": "application/pdf"}


def picture(form: str, colour: str = "white") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, form)
    return out.getvalue()


class ImageServer:
    """Serves ``/menu.png``, ``/menu.jpg``, ``/menu.webp``, ``/menu.pdf`` and what ``add`` adds; 404 otherwise."""

    def __init__(self) -> None:
        self._files = {
            "/menu.png": picture("PNG"),
            "/menu.jpg": picture("JPEG"),
            "/menu.webp": picture("WEBP"),
            "/menu.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\ntrailer<<>>\n%%EOF\n",
        }
        self._requests: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        self.port = 0

    def url(self, path: str = "/menu.png", **query: str) -> str:
        """An address that no other test has, so that requests and executions can be counted."""
        return f"http://127.0.0.1:{self.port}{path}?{urlencode({**query, 'n': next(self._numbers)}, safe=',')}"

    def sha256(self, path: str = "/menu.png") -> str:
        return hashlib.sha256(self._files[path]).hexdigest()

    def add(self, path: str, data: bytes) -> None:
        self._files[path] = data

    def requests(self, url: str) -> int:
        parts = urlsplit(url)
        return self._requests[f"{parts.path}?{parts.query}"]

    @contextmanager
    def running(self) -> Iterator[None]:
        files, requests = self._files, self._requests

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests[self.path] += 1
                path = urlsplit(self.path).path
                data = files.get(path)
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Type", MEDIA_TYPES.get(path.rpartition(".")[2], "text/plain"))
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_args: object) -> None:
                """Requests are counted, not printed."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            yield
            server.shutdown()
            thread.join()
