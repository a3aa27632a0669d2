"""The queue of a slow client: order, limits, and a close frame that replaces what was queued."""

from __future__ import annotations

import pytest

from church.live.pending_writes import MAX_BYTES, PendingWrites, QueueFullError


class Watcher:
    def start(self, _write: object) -> None:
        """Do nothing: the tests write by hand."""


class Kernel:
    """A socket that takes a given number of bytes at a time."""

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


def outbox(rest: bytes, most: int = 3) -> PendingWrites:
    return PendingWrites(rest, "first", Watcher(), lambda: None, most)


def test_frames_are_sent_in_order_in_small_parts() -> None:
    kernel, one = Kernel(), outbox(b"rest")
    one.put(b"second", "second")
    gone = []
    while not one.is_empty:
        kernel.room = 3
        gone += one.write(kernel.send)
    assert kernel.taken == b"restsecond"
    assert gone == ["first", "second"]


def test_close_frame_follows_the_frame_that_had_begun() -> None:
    kernel, one = Kernel(), outbox(b"rest")
    one.put(b"second", "second")
    one.put(b"a pong", "")
    kernel.room = 2
    assert not list(one.write(kernel.send))
    assert one.end_with(b"bye") == 1
    kernel.room = 100
    assert list(one.write(kernel.send)) == ["first", ""]
    assert kernel.taken == b"restbye"


def test_queue_over_the_limit_of_frames_or_bytes_is_full() -> None:
    one = outbox(b"rest")
    for _ in range(3):
        one.put(b"x", "chat")
    with pytest.raises(QueueFullError):
        one.put(b"x", "chat")
    assert one.messages == 4
    with pytest.raises(QueueFullError):
        outbox(b"x").put(b"x" * MAX_BYTES, "chat")
