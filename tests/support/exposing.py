"""A stand-in for a site that only serves /metrics, with the text that a test sets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Exposing(ThreadingHTTPServer):
    """Serves ``text``; ``status`` and ``token`` tell how, ``requests`` holds the headers of all that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.text = ""
        self.status = 200
        self.requests: list[dict[str, str]] = []
        self.answering = threading.Event()
        self.answering.set()

    @property
    def bind(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Exposing

    def do_GET(self) -> None:
        self.server.requests.append(dict(self.headers))
        self.server.answering.wait(30)
        body = self.server.text.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def exposing(text: str = "") -> Iterator[Exposing]:
    """Run the stand-in."""
    with Exposing() as server:
        server.text = text
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.answering.set()
            server.shutdown()
            thread.join(30)
