"""Slow, malformed and unreadable requests to the real worker."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site, running

POST = b"POST /pages/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"


def talk(port: int, *parts: bytes, timeout: float = 60) -> bytes:
    """Send these parts and read until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        for part in parts:
            client.sendall(part)
        answer = b""
        while data := client.recv(65_536):
            answer += data
        return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1])


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory):
    one = Site(tmp_path_factory.mktemp("protocol"), CHURCH_BODY_TIMEOUT="1").start()
    yield one.port
    one.stop()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with the default body time-out, for tests whose body may arrive slowly."""
    with running(tmp_path_factory.mktemp("patient")) as one:
        yield one


@pytest.mark.parametrize("size", [b"+5", b"0x5", b"0_5", b"-1", b"5 5", b"g"])
def test_chunk_size_malformed_is_400(port: int, size: bytes) -> None:
    answer = talk(port, POST + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nhello\r\n0\r\n\r\n")
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1


def test_chunk_line_without_carriage_return_is_400_at_once(port: int) -> None:
    answer = talk(port, POST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n")
    assert status(answer) == 400


def test_chunk_size_far_too_large_is_400(port: int) -> None:
    answer = talk(port, POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 32 + b"\r\nhello")
    assert status(answer) == 400


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Bad Header: kAleidoscope-91\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(120)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
    ],
)
def test_malformed_request_gets_an_answer_with_headers_and_request_id(
    port: int, request_: bytes, expected: int
) -> None:
    answer = talk(port, request_)
    assert status(answer) == expected
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"x-content-type-options: nosniff" in head
    assert b"content-security-policy: " in head
    assert b"cache-control: no-store" in head
    assert b"x-request-id: " in head
    assert b"kaleidoscope" not in answer.lower()


@pytest.mark.parametrize("host", [b"", b"a b", b"a/b", b"[::1", b"<script>"])
def test_host_invalid_is_400(port: int, host: bytes) -> None:
    assert status(talk(port, b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")) == 400


@pytest.mark.parametrize("host", [b"a", b"church.example:8000", b"127.0.0.1:1", b"[::1]:8000", b"xn--ls8h.example"])
def test_host_valid_of_every_kind_is_served(port: int, host: bytes) -> None:
    assert status(talk(port, b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")) == 200


def test_host_missing_is_400(port: int) -> None:
    assert status(talk(port, b"GET / HTTP/1.1\r\n\r\n")) == 400


def test_host_missing_in_http_1_0_is_served(port: int) -> None:
    assert status(talk(port, b"GET /health HTTP/1.0\r\n\r\n")) == 200


def test_body_that_never_arrives_is_408(port: int) -> None:
    answer = talk(port, POST + b"Content-Length: 10\r\n\r\nabc")
    assert status(answer) == 408


def test_body_cut_short_is_400(patient: Site) -> None:
    with socket.create_connection(("127.0.0.1", patient.port), timeout=60) as client:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel")
        client.shutdown(socket.SHUT_WR)
        assert status(client.recv(65_536)) == 400


def test_head_without_end_is_closed(port: int) -> None:
    assert talk(port, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 1") == b""


def test_body_declared_too_large_is_413_before_it_is_sent(port: int) -> None:
    assert status(talk(port, POST + b"Content-Length: 10737418240\r\n\r\n")) == 413


def test_body_chunked_without_end_is_413(port: int) -> None:
    chunks = (b"10000\r\n" + b"a" * 65_536 + b"\r\n") * 1000
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):  # the server closes instead of reading for ever
            client.sendall(chunks)
    assert status(talk(port, b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")) == 200


def test_body_left_unread_does_not_become_the_next_request(port: int) -> None:
    smuggled = b"GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
    answer = talk(port, head + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_content_encoding_is_415(port: int) -> None:
    assert status(talk(port, POST + b"Content-Encoding: gzip\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")) == 415


def test_trace_is_405(port: int) -> None:
    assert status(talk(port, b"TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")) == 405


def test_slash_redirect_never_names_the_host_header(port: int) -> None:
    answer = talk(port, b"GET /pages HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    location = next(line for line in answer.splitlines() if line.lower().startswith(b"location:"))
    assert location.split()[1] == b"/pages/"


def test_sigterm_lets_running_requests_finish(patient: Site) -> None:
    one = patient  # no other test uses it after this one
    with socket.create_connection(("127.0.0.1", one.port), timeout=60) as client:
        client.sendall(POST + b"Content-Length: 5\r\n\r\nab")
        wait_until(lambda: one.value("http_requests_in_flight") == 2, "the slow request is in flight")
        one.gunicorn.terminate()
        client.sendall(b"cde")
        assert status(client.recv(65_536)) == 405
    assert one.gunicorn.wait(60) == 0


@pytest.mark.parametrize("options", [b"Connection: TE, Close", b"Connection: TE\r\nConnection: close"])
def test_connection_is_closed_when_that_is_one_option_of_several(port: int, options: bytes) -> None:
    answer = talk(port, b"GET /health HTTP/1.1\r\nHost: a\r\n" + options + b"\r\n\r\n")
    assert status(answer) == 200
    assert b"\r\nconnection: close\r\n" in answer.lower()
