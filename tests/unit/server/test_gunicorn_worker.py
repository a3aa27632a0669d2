"""Parts of the fair gunicorn worker. Integration tests run it with the real gunicorn."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.server import StreamServer
from gunicorn.http.body import LengthReader
from gunicorn.workers.ggevent import GeventWorker

from church.server import blocked_clients, gunicorn_worker
from church.server.blocked_clients import Tally
from church.server.client_stream import ClientStream
from church.server.gunicorn_worker import FairServer, FairWorker
from church.server.open_connections import OpenConnections, Place
from church.server.sendfile import CutShortError, FileSocket

ROOT = Path(__file__).parent.parent.parent.parent


def place(**options: Any) -> Place:
    connections = OpenConnections(1000, 1000, lambda address: address or None)
    made = connections.enter(options.get("sock"), "192.0.2.1")
    assert made is not None
    return made


def request(sock: Any, length: int = 0, buffered: bytes = b"") -> Any:
    """What gunicorn's parser makes of a request with a body of so many bytes."""
    stream = ClientStream(sock, place(sock=sock))
    stream.unread(buffered)
    return SimpleNamespace(
        body=SimpleNamespace(reader=LengthReader(None, length)), unreader=stream, _expected_100_continue=False
    )


@pytest.fixture
def fair() -> FairWorker:
    made: FairWorker = FairWorker.__new__(FairWorker)
    made._body_seconds = 5.0
    made.log = SimpleNamespace(debug=lambda *_: None)
    made.cfg = SimpleNamespace(keepalive=60, limit_request_line=100)
    made._admitted = {}
    made._streams = set()
    made._turned_away = Tally(lambda *_: None)
    made._blocked = Tally(lambda *_: None)
    made._too_many = b"too many"
    made._connections = OpenConnections(1000, 1, lambda address: address or None)
    return made


@pytest.fixture
def client() -> Iterator[tuple[Any, Any]]:
    ours, theirs = gevent.socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_worker_ends_the_connection_if_the_body_was_not_read(
    fair: FairWorker, client: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GeventWorker, "handle_request", lambda *_: None)
    with pytest.raises(StopIteration):
        fair.handle_request("x", request(client[0], 10), client[0], ("127.0.0.1", 1))


def test_worker_keeps_the_connection_if_the_body_was_read(
    fair: FairWorker, client: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reads(_self: Any, _listener: Any, req: Any, *_: Any) -> None:
        assert req.body.reader.read(10) == b"0123456789"

    monkeypatch.setattr(GeventWorker, "handle_request", reads)
    fair.handle_request("x", request(client[0], 10, b"0123456789"), client[0], ("127.0.0.1", 1))


def test_worker_ends_the_connection_if_a_file_is_cut_short(
    fair: FairWorker, client: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: Any) -> None:
        raise CutShortError

    monkeypatch.setattr(GeventWorker, "handle_request", stuck)
    with pytest.raises(StopIteration):
        fair.handle_request("x", request(client[0]), client[0], ("127.0.0.1", 1))
    assert client[0].gettimeout() == gunicorn_worker.WRITE_TIMEOUT


@pytest.mark.parametrize("encrypted", [False, True])
def test_worker_uses_sendfile_on_plain_connections_only(
    fair: FairWorker, client: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    served: list[Any] = []

    def serve(_self: Any, _listener: Any, stream: ClientStream, _addr: Any) -> None:
        served.append(stream.sock)
        stream.sock.sendall(b"here")

    if encrypted:
        fair.encryption = SimpleNamespace(wrap_socket=lambda plain, server_side: plain)
    monkeypatch.setattr(FairWorker, "_serve", serve)
    assert fair.admit(client[0], ("192.0.2.1", 1)) is not None
    fair.handle("x", client[0], ("192.0.2.1", 1))
    assert isinstance(served[0], FileSocket) is not encrypted
    assert client[1].recv(10) == b"here"


def test_worker_gives_back_the_place_of_a_connection_that_ended(
    fair: FairWorker, client: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(FairWorker, "_serve", fails)
    assert fair.admit(client[0], ("192.0.2.1", 1)) is not None
    with pytest.raises(SystemExit):
        fair.handle("x", client[0], ("192.0.2.1", 1))
    assert fair.admit(client[1], ("192.0.2.1", 1)) is not None


def test_connections_beyond_the_bound_are_answered_at_once_and_recorded_once(
    fair: FairWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[tuple[str, int]] = []
    monkeypatch.setattr(blocked_clients, "_REPORT_SECONDS", 0)
    fair._turned_away = Tally(lambda *event: recorded.append(event))
    pairs = [gevent.socket.socketpair() for _ in range(4)]
    admitted = [fair.admit(ours, ("192.0.2.1", 1)) is not None for ours, _ in pairs]
    assert admitted == [True, False, False, False]
    assert [theirs.recv(100) + theirs.recv(100) for _, theirs in pairs[1:]] == [b"too many"] * 3
    gevent.sleep(0.001)
    assert recorded == [("192.0.2.1", 3)]
    for pair in pairs:
        for end in pair:
            end.close()


def test_worker_reads_on_after_it_answered_an_unreadable_head(
    fair: FairWorker, client: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing with unread bytes would send a reset, which may overtake the answer."""
    ours, theirs = client
    monkeypatch.setattr(FairWorker, "handle_error", lambda _self, _req, sock, *_: sock.sendall(b"431"))
    theirs.sendall(b"GET / HTTP/1.1\r\n" + b"x" * 100_000)
    serving = gevent.spawn(fair._serve, "x", ClientStream(ours, place(sock=ours)), ("192.0.2.1", 1))
    assert theirs.recv(100) == b"431"
    assert theirs.recv(100) == b""
    theirs.close()
    serving.join()


def test_worker_notes_the_signal_to_stop(fair: FairWorker) -> None:
    noted = []
    fair.alive = True
    fair.handle_exit(signal.SIGTERM, None)
    assert not fair.alive, "before the site is loaded there is nothing to note"
    fair._start_stopping = lambda: noted.append(fair.alive)
    fair.handle_exit(signal.SIGTERM, None)
    assert noted == [False]


def test_worker_writes_queued_records_when_it_ends(fair: FairWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    fair._blocked = Tally(lambda address, count: ended.append(f"{count} of {address}"))
    fair._blocked.add("203.0.113.7")
    fair._end_live = lambda: ended.append("live")
    fair._end = lambda: ended.append("telemetry")
    monkeypatch.setattr(GeventWorker, "run", lambda _self: None)
    fair.run()

    def fails(_self: Any) -> None:
        raise OSError

    monkeypatch.setattr(GeventWorker, "run", fails)
    with pytest.raises(OSError):  # noqa: PT011 - any error
        fair.run()
    assert ended == ["live", "1 of 203.0.113.7", "telemetry", "live", "telemetry"]


def test_error_of_the_site_is_logged_without_the_path(
    fair: FairWorker, client: tuple[socket.socket, socket.socket]
) -> None:
    logged: list[Any] = []
    fair.log = SimpleNamespace(exception=lambda *words: logged.append(words))
    broken = SimpleNamespace(method="GET", uri="/auth/verify/kAleidoscope/")
    fair.handle_error(broken, client[0], ("203.0.113.9", 1), LookupError("a bug"))
    assert len(logged) == 1
    assert "kAleidoscope" not in str(logged)
    assert client[1].recv(100).startswith(b"HTTP/1.1 500 ")


def test_worker_reports_withheld_records_each_time_it_notifies(
    fair: FairWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[bool] = []
    fair._each_second = lambda: reported.append(True)
    fair.alive = True
    monkeypatch.setattr(GeventWorker, "notify", lambda _self: None)
    fair.notify()
    fair.notify()
    assert reported == [True, True]


LOADS = """
import gc, os, sys, types
from church.config import keep_settings
from church.server import gunicorn_worker as worker
from church.observability.metrics import worker_files
from gunicorn.workers.ggevent import GeventWorker
seen = []
def load(self):
    from church import create_app
    self.wsgi = create_app()
    seen.append((worker_files.SLOTS.number, gc.isenabled()))
GeventWorker.load_wsgi = load
made = worker.FairWorker.__new__(worker.FairWorker)
made.cfg, made.worker_connections = types.SimpleNamespace(keepalive=5), 1000
if "kept" in sys.argv:
    keep_settings()
    os.environ["CHURCH_BODY_TIMEOUT"] = "half a num"
made.load_wsgi()
made._end()
print(seen, made._body_seconds, gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


@pytest.mark.parametrize("settings", ["read", "kept"])
def test_worker_starts_telemetry_before_its_app_with_the_settings_of_its_master(settings: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS, settings],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={"CHURCH_INSTANCE": str(tmp_path / "i"), "CHURCH_LOG_DIR": str(tmp_path / "l"), "CHURCH_BODY_TIMEOUT": "7"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[(0, False)] 7.0 True True\n"


def test_server_accepts_more_at_once_as_long_as_connections_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = list(range(20))
    server: Any = FairServer.__new__(FairServer)
    server._worker = SimpleNamespace(admit=lambda *_: SimpleNamespace(pause=0.0))
    monkeypatch.setattr(StreamServer, "do_read", lambda _self: (waiting.pop(), "address") if waiting else None)
    monkeypatch.setattr(FairServer, "full", lambda _self: False)
    begun: list[int] = []
    for _ in range(5):
        begun.append(sum(server.do_read() is not None for _ in range(server.max_accept)))
    assert begun == [1, 2, 4, 8, 5]
    assert server.max_accept == 1
