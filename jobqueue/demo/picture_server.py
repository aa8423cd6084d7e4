"""Serves one picture on loopback, as a restaurant's web space would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MEDIA_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@contextmanager
def serve_picture(picture: Path) -> Iterator[str]:
    """Serve the file while the block runs; yields its address."""
    body = picture.read_bytes()
    media_type = MEDIA_TYPES.get(picture.suffix.lower(), "application/octet-stream")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the demo's screen is for the demo."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="picture-server", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/menu{picture.suffix.lower()}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
