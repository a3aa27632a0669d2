"""Files sent over real connected sockets, in this process's gevent hub."""

from __future__ import annotations

import os
import socket as stdlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.socket import socket, socketpair

from church.server import sendfile
from church.server.sendfile import CutShortError, FileSocket
from church.web.byte_ranges import FileBody

SIZE = 8 * 1024 * 1024 + 12_345
_PATIENCE = 0.2


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def ends() -> Iterator[tuple[FileSocket, socket]]:
    ours, theirs = socketpair()
    sink = FileSocket.over(ours)
    sink.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_SNDBUF, 65_536)
    yield sink, theirs
    sink.close()
    theirs.close()


def body_of(path: Path, length: int = SIZE, **options: Any) -> FileBody:
    return FileBody(path.open("rb", buffering=0), 0, length, **options)


def take_all(theirs: socket, ours: FileSocket) -> bytes:
    received = bytearray()
    while data := theirs.recv(1 << 20):
        received += data
    return bytes(received)


def test_file_arrives_whole_in_slices(ends: tuple[FileSocket, socket], film: Path) -> None:
    ours, theirs = ends
    reader = gevent.spawn(take_all, theirs, ours)
    body = body_of(film)
    assert ours.sendfile(body, 0, SIZE) == SIZE == body.sent
    assert ours.sendfile(body, 5, 7) == 7
    with film.open("rb") as plain:
        assert ours.sendfile(plain, SIZE - 3) == 3
    ours.shutdown(stdlib.SHUT_WR)
    expected = film.read_bytes()
    assert reader.get(timeout=60) == expected + expected[5:12] + expected[-3:]
    body.close()


def test_other_greenlets_run_before_every_slice(
    ends: tuple[FileSocket, socket], film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = ends
    turns, slices = [0], [0]
    real = os.sendfile

    def counted(*args: Any) -> int:
        slices[0] += 1
        assert args[3] <= sendfile.SLICE
        assert turns[0] >= slices[0] - 1, "another request waited for two slices"
        return real(*args)

    def other() -> None:
        while True:
            turns[0] += 1
            gevent.sleep(0)

    monkeypatch.setattr(os, "sendfile", counted)
    reader, busy = gevent.spawn(take_all, theirs, ours), gevent.spawn(other)
    body = body_of(film)
    ours.sendfile(body, 0, SIZE)
    busy.kill()
    assert slices[0] > SIZE // sendfile.SLICE
    ours.shutdown(stdlib.SHUT_WR)
    reader.get(timeout=60)
    body.close()


def test_client_that_reads_nothing_times_out(ends: tuple[FileSocket, socket], film: Path) -> None:
    body = body_of(film, patience=_PATIENCE)
    with pytest.raises(TimeoutError), gevent.Timeout(60, AssertionError("it waits without end")):
        ends[0].sendfile(body, 0, SIZE)
    assert 0 < body.sent < SIZE
    body.close()


def test_client_that_reads_slowly_does_not_time_out(
    ends: tuple[FileSocket, socket], film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket takes no slice for longer than the patience, but the unacknowledged bytes shrink."""
    looks: list[int] = []

    def unsent(_sink: int) -> int:
        looks.append(max(0, 20 - len(looks)))
        return looks[-1]

    monkeypatch.setattr(sendfile, "_unsent", unsent)
    body = body_of(film, patience=_PATIENCE)
    with pytest.raises(TimeoutError), gevent.Timeout(60, AssertionError("it waits without end")):
        ends[0].sendfile(body, 0, SIZE)
    assert len(looks) > 20
    body.close()


def test_client_that_disconnects_ends_the_transfer(ends: tuple[FileSocket, socket], film: Path) -> None:
    ends[1].close()
    body = body_of(film)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        ends[0].sendfile(body, 0, SIZE)
    body.close()


def test_file_truncated_while_sending_ends_the_transfer(ends: tuple[FileSocket, socket], tmp_path: Path) -> None:
    ours, theirs = ends
    path = tmp_path / "film"
    path.write_bytes(bytes(SIZE))
    body = body_of(path)

    def cut() -> None:
        theirs.recv(1)
        os.truncate(path, SIZE // 2)
        take_all(theirs, ours)

    reader = gevent.spawn(cut)
    with pytest.raises(CutShortError):
        ours.sendfile(body, 0, SIZE)
    assert body.sent == SIZE // 2
    ours.close()
    reader.get(timeout=60)
    body.close()


def test_file_deleted_or_replaced_while_sending_is_sent_unchanged(
    ends: tuple[FileSocket, socket], tmp_path: Path
) -> None:
    ours, theirs = ends
    path, other = tmp_path / "film", tmp_path / "other"
    path.write_bytes(b"a" * SIZE)
    other.write_bytes(b"b" * SIZE)
    body = body_of(path)
    other.rename(path)
    reader = gevent.spawn(take_all, theirs, ours)
    assert ours.sendfile(body, 0, SIZE) == SIZE
    ours.shutdown(stdlib.SHUT_WR)
    assert reader.get(timeout=60) == b"a" * SIZE
    body.close()


def test_bytes_not_in_memory_are_loaded_by_a_thread(
    ends: tuple[FileSocket, socket], film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = ends
    read: list[int] = []
    real = sendfile._load

    def noted(source: int, offset: int) -> None:
        read.append(offset)
        real(source, offset)

    cold = iter([True, False, True])
    monkeypatch.setattr(sendfile, "_needs_disk", lambda *_: next(cold, False))
    monkeypatch.setattr(sendfile, "_load", noted)
    reader = gevent.spawn(take_all, theirs, ours)
    body = body_of(film)
    ours.sendfile(body, 0, SIZE)
    ours.shutdown(stdlib.SHUT_WR)
    assert reader.get(timeout=60) == film.read_bytes()
    assert read[0] == 0
    assert len(read) == 2
    body.close()


def test_bytes_just_written_are_in_memory(film: Path) -> None:
    with film.open("rb") as file:
        file.read()
        assert not sendfile._needs_disk(file.fileno(), SIZE - 1)
