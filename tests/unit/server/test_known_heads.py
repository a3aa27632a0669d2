"""The parser that remembers heads makes of each request what gunicorn's own does."""

from __future__ import annotations

import time
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidHeader, InvalidHeaderName
from gunicorn.http.message import Request

from church.server import known_heads
from church.server.client_stream import ClientStream
from church.server.known_heads import KnownRequest
from church.server.open_connections import OpenConnections

HEADS = [
    b"Host: a\r\nAccept: */*\r\nCookie: theme=dark",
    b"Host: a\r\nCookie: church=secret",
    b"Host: a\r\nCookie: __Host-church=secret",
    b"Host: a\r\nAuthorization: Bearer secret",
    b"Host: a\r\nExpect: 100-continue\r\nContent-Length: 3",
    b"Host: a\r\nX-Long: " + b"x" * 3000,
]


@pytest.fixture(autouse=True)
def _know_nothing() -> None:
    known_heads._known.clear()


def parse(kind: Any, head: bytes, line: bytes = b"GET / HTTP/1.1") -> Any:
    place = OpenConnections(10, 10, lambda address: address).enter(None, "192.0.2.1")
    assert place is not None
    stream = ClientStream(None, place)
    stream.unread(line + b"\r\n" + head + b"\r\n\r\n")
    stream.started = time.perf_counter()
    config = Config()
    config.set("forwarded_allow_ips", "")
    return kind(config, stream, ("192.0.2.1", 1), 1)


@pytest.mark.parametrize("head", HEADS)
def test_known_head_is_parsed_like_a_new_one(head: bytes) -> None:
    wanted = parse(Request, head)
    for line in (b"GET / HTTP/1.1", b"GET /other HTTP/1.1"):
        found = parse(KnownRequest, head, line)
        assert found.headers == wanted.headers
        assert found._expected_100_continue == wanted._expected_100_continue
        assert found.head.fields == tuple(wanted.headers)


def test_changing_the_fields_of_a_request_changes_no_other() -> None:
    head = HEADS[0]
    parse(KnownRequest, head).headers.clear()
    assert parse(KnownRequest, head).headers == parse(Request, head).headers


def test_secrets_and_long_heads_are_not_remembered() -> None:
    for head in HEADS:
        parse(KnownRequest, head)
    assert list(known_heads._known) == HEADS[:1]


@pytest.mark.parametrize(
    ("head", "error"), [(b"Host: a\r\nHost: b", InvalidHeader), (b"Bad name: x", InvalidHeaderName)]
)
def test_refused_heads_are_refused_again(head: bytes, error: type[Exception]) -> None:
    for _ in range(2):
        with pytest.raises(error):
            parse(KnownRequest, head)


def test_a_request_without_fields_has_an_empty_head() -> None:
    assert parse(KnownRequest, b"", b"GET / HTTP/1.0").head.fields == ()


def test_only_so_many_heads_are_remembered() -> None:
    for number in range(known_heads._MOST + 10):
        parse(KnownRequest, b"Host: a\r\nX-Number: %d" % number)
    assert len(known_heads._known) == known_heads._MOST
