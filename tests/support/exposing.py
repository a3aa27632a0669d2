"""A stand-in for a site that only serves /metrics, with the text that a test sets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Exposing(ThreadingHTTPServer):
    """Serves ``text``. ``requests`` has the headers of all that came, and ``clients`` their addresses."""

    daemon_threads = True

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.text = ""
        self.status = 200
        self.requests: list[dict[str, str]] = []
        self.clients: list[str] = []
        self.answering = threading.Event()
        self.answering.set()

    @property
    def bind(self) -> str:
        host, port = self.server_address[:2]
        return f"{host!s}:{port}"


class _Handler(BaseHTTPRequestHandler):
    server: Exposing

    def do_GET(self) -> None:
        self.server.requests.append(dict(self.headers))
        self.server.clients.append(self.client_address[0])
        self.server.answering.wait(30)
        body = self.server.text.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def exposing(text: str = "", host: str = "127.0.0.1") -> Iterator[Exposing]:
    """Run the stand-in."""
    with Exposing(host) as server:
        server.text = text
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.answering.set()
            server.shutdown()
            thread.join(30)
