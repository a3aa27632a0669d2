"""What waits for a client goes in order; its last words come after the frame that had begun, and after no other."""

from __future__ import annotations

import pytest

from church.live.pending_writes import MOST_BYTES, FullError, Outbox


class Watcher:
    def start(self, _write: object) -> None:
        """Nobody watches here."""


class Kernel:
    """Takes as many bytes as it is told."""

    def __init__(self) -> None:
        self.room = 0
        self.taken = b""

    def send(self, frame: bytes) -> int:
        if not self.room:
            raise BlockingIOError
        sent = min(self.room, len(frame))
        self.taken += frame[:sent]
        self.room -= sent
        return sent


def outbox(rest: bytes, most: int = 3) -> Outbox:
    return Outbox(rest, "first", Watcher(), lambda: None, most)


def test_frames_go_in_order_however_little_the_kernel_takes() -> None:
    kernel, one = Kernel(), outbox(b"rest")
    one.put(b"second", "second")
    gone = []
    while not one.is_empty:
        kernel.room = 3
        gone += one.write(kernel.send)
    assert kernel.taken == b"restsecond"
    assert gone == ["first", "second"]


def test_last_words_come_after_the_rest_of_what_has_begun() -> None:
    kernel, one = Kernel(), outbox(b"rest")
    one.put(b"second", "second")
    one.put(b"a pong", "")
    kernel.room = 2
    assert not list(one.write(kernel.send))
    assert one.end_with(b"bye") == 1
    kernel.room = 100
    assert list(one.write(kernel.send)) == ["first", ""]
    assert kernel.taken == b"restbye"


def test_outbox_holds_so_many_frames_and_so_many_bytes() -> None:
    one = outbox(b"rest")
    for _ in range(3):
        one.put(b"x", "chat")
    with pytest.raises(FullError):
        one.put(b"x", "chat")
    assert one.messages == 4
    with pytest.raises(FullError):
        outbox(b"x").put(b"x" * MOST_BYTES, "chat")
