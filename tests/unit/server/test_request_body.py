"""Bodies by length and in chunks, their deadline, and whether a connection goes on after an answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.socket
import pytest
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import ParseException
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest, RequestTimeout

from church.server import request_body
from church.server.client_stream import ClientStream
from church.server.open_connections import OpenConnections
from church.server.request_body import ChunkedFraming, RequestBody, SizedFraming
from church.server.whole_answers import settle_bodies

SMALL = 65_536


def decoded(wire: bytes, step: int = SMALL, piece: int = SMALL) -> tuple[bytes, bytes, bool]:
    """Decode a chunked body that arrives in pieces. Returns the body, what follows it, and whether it is finished."""
    held = bytearray()
    framing = ChunkedFraming(held)
    body = b""
    for begin in range(0, len(wire), piece):
        held += wire[begin : begin + piece]
        while data := framing.take(step):
            body += data
    return body, bytes(held), framing.finished


@given(
    parts=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    extension=st.sampled_from([b"", b";a", b" ; a = b", b';a="q\\"\t"', b";a;b=1"]),
    trailers=st.sampled_from([b"", b"X: 1\r\n", b"X: 1\r\nY:\r\n"]),
    step=st.integers(1, 60),
    piece=st.integers(1, 60),
)
def test_chunked_body_is_decoded_however_it_arrives(
    parts: list[bytes], extension: bytes, trailers: bytes, step: int, piece: int
) -> None:
    chunks = b"".join(b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    wire = chunks + b"0\r\n" + trailers + b"\r\n"
    assert decoded(wire + b"GET /", step, piece) == (b"".join(parts), b"GET /", True)


@pytest.mark.parametrize(
    "wire",
    [
        *(size + b"\r\nhello\r\n0\r\n\r\n" for size in (b"+5", b"-5", b"0x5", b"0_5", b" 5", b"5 ", b"5 5", b"g", b"")),
        b"5\nhello\n0\n\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"100000001\r\n",
        b"f" * 32 + b"\r\n",
        b"1" * 2000,
        b"5;" + b"a" * 2000,
        b"5;\r\nhello\r\n",
        b'5;a="\r\nhello\r\n',
        b"5;a\rb\r\nhello\r\n",
        b"0\r\nX : 1\r\n\r\n",
        b"0\r\nX: 1\n\r\n",
        b"0\r\n: 1\r\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
        b"0\r\nX: " + b"a" * 9000,
    ],
)
@pytest.mark.parametrize("piece", [1, SMALL])
def test_chunked_body_that_can_not_become_valid_is_refused_at_once(wire: bytes, piece: int) -> None:
    with pytest.raises(ParseException):
        decoded(wire, piece=piece)


@pytest.mark.parametrize("wire", [b"5", b"5\r", b"5;a", b"5\r\nhello", b"5\r\nhello\r", b"0\r\n", b"0\r\nX: 1\r\n"])
def test_chunked_body_that_may_become_valid_is_awaited(wire: bytes) -> None:
    assert not decoded(wire)[2]


def test_chunked_body_with_more_framing_than_content_is_refused() -> None:
    allowed = b"1\r\na\r\n" * (request_body._MAX_OVERHEAD // 5)
    assert not decoded(allowed)[2]
    with pytest.raises(ParseException):
        decoded(allowed * 2)


def test_chunked_body_of_sixteen_bytes_a_chunk_has_no_bound_but_its_size() -> None:
    assert len(decoded(b"10\r\n0123456789abcdef\r\n" * 100_000)[0]) == 1_600_000


def test_sized_body_leaves_the_next_request() -> None:
    held = bytearray(b"abcdefGET /")
    framing = SizedFraming(held, 6)
    assert [framing.take(4), framing.take(4), framing.take(4)] == [b"abcd", b"ef", b""]
    assert (bytes(held), framing.finished) == (b"GET /", True)


def test_sized_body_never_receives_beyond_its_end() -> None:
    assert SizedFraming(bytearray(), 10).wanted() == 10


class Client:
    """A client and the request that it is sending."""

    def __init__(self) -> None:
        self.ours, self.theirs = gevent.socket.socketpair()
        self.connections = OpenConnections(10, 10, lambda address: address)
        place = self.connections.enter(self.ours, "192.0.2.1")
        assert place is not None
        self.stream = ClientStream(self.ours, place)
        self.closes = False

    def body(self, length: int | None, expects: bool = False, seconds: float = 60) -> RequestBody:
        """The body of a request: of a length, or chunked."""
        chunked = ChunkedReader(SimpleNamespace(), None)
        self.request: Any = SimpleNamespace(
            body=SimpleNamespace(reader=chunked if length is None else LengthReader(None, length)),
            unreader=self.stream,
            _expected_100_continue=expects,
            should_close=lambda: self.closes,
            force_close=self._force_close,
        )
        return RequestBody(self.request, seconds)

    def _force_close(self) -> None:
        self.closes = True


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.ours.close()
    made.theirs.close()


def test_view_reads_the_whole_body(client: Client) -> None:
    sending = gevent.spawn(client.theirs.sendall, b"x" * 1_000_000)
    assert len(Body(client.body(1_000_000)).read()) == 1_000_000
    sending.join()


def test_view_reads_the_whole_chunked_body(client: Client) -> None:
    sending = gevent.spawn(client.theirs.sendall, (b"2710\r\n" + b"x" * 10_000 + b"\r\n") * 100 + b"0\r\n\r\nGET /")
    body = client.body(None)
    assert len(Body(body).read()) == 1_000_000
    sending.join()
    assert (body.is_finished, client.stream.read()) == (True, b"GET /")


@pytest.mark.parametrize("length", [10, None])
def test_body_that_never_arrives_is_a_408(client: Client, length: int | None) -> None:
    body = client.body(length, seconds=0.01)
    with pytest.raises(RequestTimeout):
        body.read(10)
    assert not body.is_finished


def test_body_that_arrives_too_slowly_is_a_408_by_one_deadline(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(request_body.time, "monotonic", lambda: now[0])
    body = client.body(10, seconds=20)
    for _ in range(2):
        client.theirs.sendall(b"a")
        assert body.read(1) == b"a"
        now[0] += 11
    client.theirs.sendall(b"a")
    with pytest.raises(RequestTimeout):
        body.read(1)


def test_body_deadline_starts_with_the_first_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(request_body.time, "monotonic", lambda: now[0])
    body = client.body(1, seconds=20)
    now[0] += 3600
    client.theirs.sendall(b"a")
    assert body.read(10) == b"a"


@pytest.mark.parametrize(("length", "sent"), [(10, b"cut"), (None, b"5\r\ncut"), (None, b"+5\r\nhello\r\n0\r\n\r\n")])
def test_body_cut_short_or_malformed_is_a_400(client: Client, length: int | None, sent: bytes) -> None:
    client.theirs.sendall(sent)
    client.theirs.close()
    with pytest.raises(BadRequest):
        Body(client.body(length)).read()


def test_body_of_tiny_chunks_lets_others_run_before_it_is_refused(client: Client) -> None:
    order: list[str] = []
    sending = gevent.spawn(client.theirs.sendall, b"1\r\na\r\n" * 100_000)

    def read() -> None:
        with pytest.raises(BadRequest):
            Body(client.body(None)).read()
        order.append("refused")

    reading = gevent.spawn(read)
    for _ in range(10):
        gevent.spawn(order.append, "another")
        gevent.sleep(0)
    reading.join()
    sending.kill()
    assert order == ["another"] * 10 + ["refused"]


def test_connection_waits_for_its_client_until_the_body_is_there(client: Client) -> None:
    body = client.body(2)
    reading = gevent.spawn(body.read, 2)
    gevent.sleep(0)
    assert list(client.connections.slow) == [client.stream.place]
    client.theirs.sendall(b"{}")
    reading.join()
    assert not client.connections.slow


def test_client_is_invited_to_send_its_body_when_it_is_first_read(client: Client) -> None:
    body = client.body(2, expects=True)
    assert client.request._expected_100_continue is False  # gunicorn would send it before the view runs
    reading = gevent.spawn(body.read, 2)
    assert client.theirs.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.theirs.sendall(b"{}")
    assert reading.get(timeout=60) == b"{}"


def test_answer_to_a_body_that_was_read_keeps_the_connection(client: Client) -> None:
    client.theirs.sendall(b"{}")
    body = client.body(2)
    body.read(10)
    body.settle()
    assert not client.closes


@pytest.mark.parametrize(("length", "sent"), [(2, b"{}"), (None, b"2\r\n{}\r\n0\r\n\r\n")])
def test_answer_before_a_small_body_was_read_skips_it_and_keeps_the_connection(
    client: Client, length: int | None, sent: bytes
) -> None:
    client.theirs.sendall(sent + b"GET /")
    client.body(length).settle()
    assert not client.closes
    if not client.stream.held:
        client.stream.receive(100, time.monotonic() + 60)
    assert client.stream.read() == b"GET /"


@pytest.mark.parametrize(
    ("length", "sent"),
    [(10, b"part"), (10_000_000, b"part"), (None, b"5\r\npart"), (None, b"+5"), (None, b"ffff\r\n" + b"a" * 65_535)],
)
def test_answer_before_the_body_came_says_that_the_connection_closes(
    client: Client, monkeypatch: pytest.MonkeyPatch, length: int | None, sent: bytes
) -> None:
    monkeypatch.setattr(request_body, "_SKIPPED_SECONDS", 0.01)
    client.theirs.sendall(sent)
    client.body(length).settle()
    assert client.closes


def test_answer_to_a_body_that_was_never_invited_says_that_the_connection_closes(client: Client) -> None:
    client.body(2, expects=True).settle()
    assert client.closes
    client.theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.theirs.recv(100)  # no 100 Continue


def test_app_learns_when_the_request_began_and_settles_before_its_head(client: Client) -> None:
    client.stream.started = 12.5
    body = client.body(10_000_000)
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ["church.started"])
        start_response("401 Unauthorized", [])
        return []

    settle_bodies(app)({"wsgi.input": SimpleNamespace(reader=body)}, lambda *_: seen.append(client.closes))
    assert seen == [12.5, True]
