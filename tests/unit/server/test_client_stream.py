"""Receiving in turns, and the bounds of a request's head."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine

from church.server import client_stream
from church.server.client_stream import MAX_HEAD, ClientStream
from church.server.open_connections import OpenConnections

LINE = b"GET / HTTP/1.1\r\n"


class Connection:
    """Both ends of a connection."""

    def __init__(self) -> None:
        self.ours, self.theirs = gevent.socket.socketpair()
        place = OpenConnections(10, 10, lambda address: address).enter(self.ours, "192.0.2.1")
        assert place is not None
        self.stream = ClientStream(self.ours, place)

    def await_head(self, seconds: float = 60) -> bool:
        return self.stream.await_head(4094, seconds)


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.ours.close()
    made.theirs.close()


def test_head_in_pieces_is_whole_before_it_is_parsed(connection: Connection) -> None:
    awaiting = gevent.spawn(connection.await_head)
    for byte in LINE + b"Host: a\r\n\r\nrest":
        connection.theirs.send(bytes([byte]))
        gevent.sleep(0)
    assert awaiting.get(timeout=60) is True
    assert connection.stream.read().startswith(LINE + b"Host: a\r\n\r\n")


def test_connection_that_lost_its_place_ends_though_its_client_goes_on_sending(connection: Connection) -> None:
    awaiting = gevent.spawn(connection.await_head)
    connection.theirs.send(LINE)
    gevent.sleep(0)
    gevent.sleep(0)
    connection.theirs.send(b"Host: a\r\n\r\n")
    connection.stream.place.close()
    assert awaiting.get(timeout=60) is False


def test_head_as_large_as_allowed_is_taken(connection: Connection) -> None:
    head = LINE + b"X: " + b"a" * (MAX_HEAD - len(LINE) - 7) + b"\r\n\r\n"
    assert len(head) == MAX_HEAD
    connection.theirs.sendall(head)
    assert connection.await_head()


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"", b"a" * 500_000])
def test_head_too_large_is_refused_before_it_is_parsed(connection: Connection, end: bytes) -> None:
    sending = gevent.spawn(connection.theirs.sendall, LINE + b"X: " + b"a" * MAX_HEAD + end)
    with pytest.raises(LimitRequestHeaders):
        connection.await_head()
    assert len(connection.stream.held) <= MAX_HEAD + client_stream.PIECE
    sending.kill()


def test_request_line_too_long_is_refused_as_such(connection: Connection) -> None:
    connection.theirs.sendall(b"GET /" + b"a" * 5000)
    with pytest.raises(LimitRequestLine):
        connection.await_head()


def test_bare_line_feed_is_left_to_the_parser_at_once(connection: Connection) -> None:
    connection.theirs.sendall(b"GET / HTTP/1.1\nHost: a\n\n")
    assert connection.await_head()


def test_client_that_ends_without_a_request_is_seen(connection: Connection) -> None:
    connection.theirs.close()
    assert not connection.await_head()


@pytest.mark.parametrize("sent", [b"", b"GET / HTT"])
def test_head_that_never_comes_ends_the_wait(connection: Connection, sent: bytes) -> None:
    connection.theirs.sendall(sent)
    with pytest.raises(TimeoutError):
        connection.await_head(0.01)


def test_deadline_holds_while_bytes_are_there(connection: Connection) -> None:
    connection.theirs.sendall(b"more")
    with pytest.raises(TimeoutError):
        connection.stream.receive(1, time.monotonic() - 1)


@pytest.mark.parametrize("pipelined", [False, True])
def test_connection_lets_others_run_before_its_next_request(connection: Connection, pipelined: bool) -> None:
    order: list[str] = []
    if pipelined:
        connection.stream.unread(LINE + b"\r\n")
    else:
        connection.theirs.sendall(LINE + b"\r\n")
    gevent.spawn(order.append, "another")
    assert connection.await_head()
    assert order == ["another"]


def test_connection_with_bytes_there_lets_others_run_before_each_receive(connection: Connection) -> None:
    connection.theirs.sendall(b"12")
    order: list[Any] = []
    for byte in b"12":
        gevent.spawn(order.append, "another")
        assert connection.stream.receive(1, time.monotonic() + 60)
        order.append(byte)
    assert order == ["another", b"1"[0], "another", b"2"[0]]


def test_connection_of_a_busy_address_waits_for_its_turn_to_go_on(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(type(connection.stream.place), "seconds_until_turn", lambda _self: 0.25)
    monkeypatch.setattr(client_stream.gevent, "sleep", slept.append)
    connection.theirs.sendall(b"a")
    connection.stream.receive_rest(1, time.monotonic() + 60)
    with pytest.raises(TimeoutError):
        connection.stream.receive_rest(1, 0)
    assert slept == [0.25, 0.25]


def test_connection_that_made_room_ends_like_one_that_the_client_ended(connection: Connection) -> None:
    awaiting = gevent.spawn(connection.await_head)
    gevent.sleep(0)
    connection.stream.place.close()
    assert awaiting.get(timeout=60) is False


def test_request_began_when_its_first_byte_came(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have waited in the kernel, while the worker was busy with others."""
    monkeypatch.setattr(client_stream.time, "perf_counter", lambda: 500.0)
    monkeypatch.setattr(client_stream, "_seconds_in_kernel", lambda _sock: 3.0)
    connection.theirs.sendall(LINE + b"\r\n")
    assert connection.await_head()
    assert connection.stream.started == 497.0


class Kernel:
    """A socket of which the kernel says when the latest bytes came."""

    def __init__(self, milliseconds: int) -> None:
        self.info = bytes(52) + milliseconds.to_bytes(4, "little")

    def getsockopt(self, *_: int) -> bytes:
        return self.info


@pytest.mark.parametrize(("milliseconds", "seconds"), [(300, 0.3), (12, 0.0), (0, 0.0)])
def test_wait_in_the_kernel_counts_unless_it_may_be_its_clock(milliseconds: int, seconds: float) -> None:
    assert client_stream._seconds_in_kernel(Kernel(milliseconds)) == seconds


def test_wait_in_the_kernel_of_another_system_is_unknown(connection: Connection) -> None:
    assert client_stream._seconds_in_kernel(connection.ours) == 0.0


def test_lingering_reads_a_bounded_part(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[int] = []

    def endless(size: int, _deadline: float) -> bool:
        received.append(size)
        connection.stream.held += b"x" * size
        return True

    monkeypatch.setattr(connection.stream, "receive", endless)
    connection.stream.linger()
    assert sum(received) == client_stream._LINGER_BYTES
    assert connection.theirs.recv(1) == b""


def test_lingering_on_a_closed_connection_raises_nothing(connection: Connection) -> None:
    connection.theirs.close()
    connection.stream.linger()
    connection.ours.close()
    connection.stream.linger()
