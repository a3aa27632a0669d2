"""The WebSocket handshake: which requests become a connection, and which errors the others get."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from church import create_app
from church.config import Settings
from church.observability.metrics import definitions
from tests.support.databases import copy_database
from tests.support.helpers import grows, with_settings

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Origin": "http://localhost",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
def gone() -> Iterator[socket.socket]:
    """The server's end of a connection whose client has gone away."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        yield ours


def ask(app: Flask, raw: object, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
    """Ask for a connection on the socket ``raw``; ``headers`` replace those of a valid handshake."""
    environ = {"gunicorn.socket": raw, **options.pop("environ", {})}
    return app.test_client().get("/ws", headers={**HANDSHAKE, **(headers or {})}, environ_overrides=environ, **options)


def site(settings: Settings, migrated_file: Path, **changes: int) -> Flask:
    """A site with other limits of live connections."""
    copy_database(migrated_file, settings)
    return create_app(with_settings(settings, **changes))


def test_client_gone_during_the_handshake_is_not_a_server_error(app: Flask, gone: socket.socket) -> None:
    assert ask(app, gone).status_code == 400


def test_failed_handshake_gives_its_place_back(settings: Settings, migrated_file: Path, gone: socket.socket) -> None:
    app = site(settings, migrated_file, live_connections=1, live_per_address=1)
    assert [ask(app, gone).status_code for _ in range(3)] == [400] * 3


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, {}),
        ({"Sec-WebSocket-Key": "no base64"}, {}),
        ({"Sec-WebSocket-Version": "8"}, {}),
        ({}, {"data": b"body"}),
        ({"Transfer-Encoding": "chunked"}, {}),
        ({}, {"environ": {"SERVER_PROTOCOL": "HTTP/1.0"}}),
    ],
    ids=["short-key", "wrong-key", "version", "body", "chunked", "http-1.0"],
)
def test_invalid_handshake_is_refused_and_counted(
    app: Flask, gone: socket.socket, headers: dict[str, str], options: dict[str, Any]
) -> None:
    with grows(definitions.websocket_connections.labels("refused_handshake")):
        answer = ask(app, gone, headers, **options)
    assert answer.status_code == 400
    assert "This address is for WebSockets, version 13." in answer.text


def test_handshake_on_a_server_without_a_plain_socket_is_refused(app: Flask, gone: socket.socket) -> None:
    encrypted = ssl.create_default_context().wrap_socket(gone.dup(), server_hostname="x", do_handshake_on_connect=False)
    with encrypted, grows(definitions.websocket_connections.labels("refused_handshake"), by=2):
        assert ask(app, None).status_code == 400
        assert ask(app, encrypted).status_code == 400


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null", ""])
def test_handshake_from_another_origin_is_refused_and_counted(app: Flask, gone: socket.socket, origin: str) -> None:
    with (
        grows(definitions.websocket_connections.labels("refused_origin")),
        grows(definitions.security_events.labels("csrf_refused", "medium")),
    ):
        assert ask(app, gone, {"Origin": origin}).status_code == 403


def test_handshake_whose_origin_is_its_own_foreign_host_is_refused(app: Flask, gone: socket.socket) -> None:
    assert ask(app, gone, {"Host": "evil.example", "Origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_request_that_is_no_handshake_is_refused_whatever_its_method(app: Flask, method: str) -> None:
    status = 405 if method == "POST" else 400
    assert app.test_client().open("/ws", method=method).status_code == status


@pytest.mark.parametrize(
    ("limit", "outcome", "status"),
    [("live_connections", "refused_full", 503), ("live_per_address", "refused_address", 429)],
)
def test_handshake_over_a_limit_is_refused_with_a_time_to_retry(
    settings: Settings, migrated_file: Path, gone: socket.socket, limit: str, outcome: str, status: int
) -> None:
    app = site(settings, migrated_file, **{limit: 0})
    with grows(definitions.websocket_connections.labels(outcome)):
        answer = ask(app, gone)
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (status, True)
