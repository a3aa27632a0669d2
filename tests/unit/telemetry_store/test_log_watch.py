"""The store waits for writes to the log folder and for signals."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from church.lib.host.inotify import Inotify
from church.lib.processes import receive_signals
from church.telemetry_store import log_watch
from church.telemetry_store.log_watch import LogWatch

LONG = 60.0


@pytest.fixture
def inbox() -> Iterator[socket.socket]:
    """Receives SIGUSR2 of this process."""
    with receive_signals([signal.SIGUSR2]) as received:
        yield received


def waited(watch: LogWatch, inbox: socket.socket, seconds: float = LONG) -> tuple[bytes, bool]:
    """The signals of a wait, and whether something ended it early."""
    begin = time.monotonic()
    return watch.wait(inbox, seconds), time.monotonic() - begin < seconds


def test_wait_ends_when_a_file_is_written_to(tmp_path: Path, inbox: socket.socket) -> None:
    with (tmp_path / "combined.log").open("w") as file:
        watch = LogWatch(tmp_path)
        file.write("line\n")
        file.flush()
        assert waited(watch, inbox) == (b"", True)
        assert waited(watch, inbox, 0.01) == (b"", False)
        watch.close()


def test_wait_ends_when_a_signal_comes(tmp_path: Path, inbox: socket.socket) -> None:
    watch = LogWatch(tmp_path)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert waited(watch, inbox) == (bytes([signal.SIGUSR2]), True)
    watch.close()


def test_wait_folder_that_comes_later_is_watched(tmp_path: Path, inbox: socket.socket) -> None:
    folder = tmp_path / "logs"
    watch = LogWatch(folder)
    watch.wait(inbox, 0)
    folder.mkdir()
    watch.wait(inbox, 0)
    (folder / "combined.log").write_text("line\n")
    assert waited(watch, inbox) == (b"", True)
    watch.close()


def test_wait_folder_that_is_made_anew_is_watched_again(tmp_path: Path, inbox: socket.socket) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    watch = LogWatch(folder)
    folder.rmdir()
    assert waited(watch, inbox) == (b"", True)
    folder.mkdir()
    watch.wait(inbox, 0)
    (folder / "combined.log").write_text("line\n")
    assert waited(watch, inbox) == (b"", True)
    watch.close()


def test_wait_where_the_system_tells_nothing_looks_now_and_then(
    tmp_path: Path, inbox: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inotify, "__init__", _refuse)
    monkeypatch.setattr(log_watch, "_POLL", 0.01)
    watch = LogWatch(tmp_path)
    assert waited(watch, inbox) == (b"", True)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert watch.wait(inbox, None) == bytes([signal.SIGUSR2])
    watch.close()


def _refuse(_self: Inotify) -> None:
    raise OSError("no inotify")
