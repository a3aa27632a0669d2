"""What waits for a client goes in order; its last words come after the frame that had begun, and after no other."""

from __future__ import annotations

import pytest

from church.sockets.outbox import MOST_BYTES, FullError, Outbox


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
    return Outbox(rest, Watcher(), lambda: None, most)


def test_frames_go_in_order_however_little_the_kernel_takes() -> None:
    kernel, one = Kernel(), outbox(b"rest")
    one.put(b"second")
    while not one.write(kernel.send):
        kernel.room = 3
    assert kernel.taken == b"restsecond"


def test_last_words_come_after_the_rest_of_what_has_begun() -> None:
    kernel, one = Kernel(), outbox(b"rest")
    one.put(b"second")
    kernel.room = 2
    assert not one.write(kernel.send)
    one.end_with(b"bye")
    kernel.room = 100
    assert one.write(kernel.send)
    assert kernel.taken == b"restbye"


def test_outbox_holds_so_many_frames_and_so_many_bytes() -> None:
    one = outbox(b"rest")
    for _ in range(3):
        one.put(b"x")
    with pytest.raises(FullError) as full:
        one.put(b"x")
    assert full.value.frames == 5
    with pytest.raises(FullError):
        outbox(b"x").put(b"x" * MOST_BYTES)
