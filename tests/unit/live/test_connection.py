"""One connection: bounded, ordered queue for a slow client, close and drop, silent clients."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from church.live import frame_budget
from church.live.connection import Connection
from church.live.heartbeat import PingWheel
from church.telemetry import Handshake
from tests.support.live_fixture import masked
from tests.support.live_stubs import run_until


class StubHub:
    queue = 8
    patience = 50.0

    def __init__(self) -> None:
        self.ends: list[tuple[int, str]] = []
        self.texts: list[str] = []
        self.late: list[str] = []
        self.lost = 0
        self.closed = 0
        self.spent = 0.0
        self.budget = 1e9
        """What the member of all connections may spend."""

    def spend(self, _connection: Connection, cost: float) -> bool:
        self.spent += cost
        return self.spent <= self.budget

    def on_text(self, _connection: Connection, text: str) -> None:
        self.texts.append(text)

    def sent(self, kind: str) -> None:
        self.late.append(kind)

    def dropped(self, count: int) -> None:
        self.lost += count

    def ended(self, _connection: Connection, code: int, outcome: str) -> None:
        self.ends.append((code, outcome))

    def gone(self, _connection: Connection) -> None:
        self.closed += 1


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connection, socket.socket, StubHub]]:
    """A connection whose clock does not move, so that its rate budget never refills."""
    monkeypatch.setattr(frame_budget, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    ours, theirs = socket.socketpair()
    hub: Any = StubHub()
    connection = Connection(hub, ours.detach(), "192.0.2.1", Handshake("r1", "192.0.2.1", None), None)
    connection.begin(b"")
    theirs.setblocking(False)
    yield connection, theirs, hub
    connection.drop("over")
    theirs.close()


Pair = tuple[Connection, socket.socket, StubHub]


def test_early_bytes_are_read_first(pair: Pair) -> None:
    connection, theirs, hub = pair
    whole = masked(1, b"first")
    connection._take(whole[:4])
    theirs.sendall(whole[4:] + masked(1, b"second"))
    run_until(lambda: len(hub.texts) == 2, "both")
    assert hub.texts == ["first", "second"]


def test_frames_the_kernel_refuses_are_sent_later_in_order(pair: Pair) -> None:
    connection, theirs, hub = pair
    sent = bytearray()
    while not connection.is_behind:
        frame = len(sent).to_bytes(8) * 4096
        assert connection.send(frame, "chat") is not connection.is_behind
        sent += frame
    assert not connection.send(b"last", "typing")
    sent += b"last"
    assert hub.late == []
    got = bytearray()

    def read() -> bool:
        with suppress(BlockingIOError):
            got.extend(theirs.recv(1 << 16))
        return len(got) >= len(sent)

    run_until(read, "all that was sent")
    assert got == sent
    run_until(lambda: not connection.is_behind, "nothing waits")
    assert (hub.late, hub.lost) == (["chat", "typing"], 0)


def test_client_that_does_not_read_is_closed_with_1008_and_every_message_is_counted(pair: Pair) -> None:
    connection, theirs, hub = pair
    tried = at_once = 0
    while connection.is_open:
        at_once += connection.send(b"x" * 32_768, "chat")
        tried += 1
    connection.send(b"x" * 32_768, "chat")  # after the end: counted neither as sent nor as dropped
    assert hub.ends == [(1008, "too_slow")]
    assert hub.lost == StubHub.queue + 1
    got = bytearray()

    def read() -> bool:
        with suppress(BlockingIOError):
            got.extend(theirs.recv(1 << 20))
        return got.endswith(b"too slow")

    run_until(read, "the close frame, after the frame that had begun")
    assert len(got[: got.rindex(b"\x88")]) == 32_768 * (at_once + 1)
    run_until(lambda: hub.late == ["chat", ""], "the frame that had begun is counted")
    assert at_once + 1 + hub.lost == tried


def test_queued_messages_of_a_lost_client_count_as_dropped(pair: Pair) -> None:
    connection, theirs, hub = pair
    while connection.send(b"x" * 32_768, "chat"):
        pass
    connection.send(b"a ping")
    theirs.close()
    run_until(lambda: hub.ends, "the end")
    assert hub.lost == 1


def test_ping_is_answered_and_close_is_answered_with_close(pair: Pair) -> None:
    _, theirs, hub = pair
    theirs.sendall(masked(9, b"there?") + masked(8, (1000).to_bytes(2) + b"bye"))
    run_until(lambda: hub.ends, "the end")
    theirs.setblocking(True)
    assert theirs.recv(100) == b"\x8a\x06there?" + b"\x88\x02\x03\xe8"
    assert theirs.recv(100) == b""
    theirs.close()
    run_until(lambda: hub.closed, "the socket is closed")
    assert hub.ends == [(1000, "closed")]


def test_flooding_client_is_closed_with_1008(pair: Pair) -> None:
    _, theirs, hub = pair
    theirs.sendall(masked(1, b"x") * 300)
    run_until(lambda: hub.ends, "the end")
    assert hub.ends == [(1008, "flooded")]
    assert len(hub.texts) == 200


def test_client_whose_member_has_used_up_its_budget_is_closed_with_1008(pair: Pair) -> None:
    _, theirs, hub = pair
    hub.budget = 3
    theirs.sendall(masked(1, b"x") * 5)
    run_until(lambda: hub.ends, "the end")
    assert (hub.ends, hub.texts) == ([(1008, "flooded")], ["x"] * 3)


def test_client_that_spends_more_than_its_frames_is_closed_with_1008_sooner(pair: Pair) -> None:
    connection, _, hub = pair
    for _ in range(50):
        connection.spend(4)
    assert hub.ends == []
    connection.spend(4)
    assert hub.ends == [(1008, "flooded")]


def test_message_in_very_many_fragments_is_not_a_flood(pair: Pair) -> None:
    _, theirs, hub = pair
    theirs.sendall(masked(1, b"x", fin=False) + masked(0, b"x", fin=False) * 3000 + masked(0, b"x"))
    run_until(lambda: hub.texts or hub.ends, "the message")
    assert hub.texts == ["x" * 3002]


def test_lost_connection_is_reported_once(pair: Pair) -> None:
    connection, theirs, hub = pair
    theirs.close()
    run_until(lambda: hub.ends, "the end")
    connection.drop("again")
    connection.close(1001, "late", "shutdown")
    assert hub.ends == [(1006, "gone")]
    assert not connection.send(b"anything")


def test_client_gone_before_the_welcome_is_not_watched() -> None:
    ours, theirs = socket.socketpair()
    hub: Any = StubHub()
    connection = Connection(hub, ours.detach(), "192.0.2.1", Handshake("r1", "192.0.2.1", None), None)
    theirs.close()
    connection.send(b"welcome")
    connection.begin(b"")  # would watch the next socket that gets the same file number
    assert hub.ends == [(1006, "lost")]
    assert not connection._watcher.active


def test_wheel_drops_only_a_client_that_does_not_answer_a_ping(pair: Pair) -> None:
    connection, theirs, hub = pair
    wheel = PingWheel(25.0)
    wheel.add(connection)

    def turn() -> None:
        for _ in range(50):
            wheel.tick()

    for _ in range(3):
        turn()
        theirs.sendall(masked(10, b""))
        run_until(lambda: connection.heard, "the pong")
    turn()
    assert hub.ends == []
    turn()
    assert hub.ends == [(1006, "silent")]


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
def test_kernel_gives_up_a_lost_client_when_the_hub_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        accepted = server.accept()[0]
        connection = Connection(StubHub(), accepted.detach(), "192.0.2.1", Handshake("r1", "192.0.2.1", None), None)
        assert connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 50_000
        connection.drop("over")
