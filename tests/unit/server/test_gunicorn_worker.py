"""Parts of the fair gunicorn worker. Integration tests run it with the real gunicorn."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.socket
import pytest
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidChunkSize, NoMoreData
from gunicorn.http.unreader import IterUnreader
from gunicorn.workers.ggevent import GeventWorker
from werkzeug.exceptions import BadRequest, RequestTimeout

from church.server import gunicorn_worker
from church.server.gunicorn_worker import FairWorker, _TimedReader
from church.server.sendfile import CutShortError, FileSocket

ROOT = Path(__file__).parent.parent.parent.parent


class Inner:
    """A body reader that plays a script: bytes to return, seconds to wait, exceptions to raise."""

    def __init__(self, *turns: bytes | float | Exception) -> None:
        self.turns = list(turns)

    def read(self, _size: int) -> bytes:
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        if isinstance(turn, float):
            gevent.sleep(turn)
            return b"late"
        return turn


def length_reader(data: bytes, length: int | None = None) -> LengthReader:
    return LengthReader(IterUnreader([data]), len(data) if length is None else length)


def test_body_is_read_unchanged() -> None:
    reader = _TimedReader(length_reader(b"abcdef"), 5)
    assert (reader.read(4), reader.finished) == (b"abcd", False)
    assert (reader.read(4), reader.finished) == (b"ef", True)


def test_body_read_to_its_length_is_finished() -> None:
    reader = _TimedReader(length_reader(b"abcdef"), 5)
    assert (reader.read(6), reader.finished) == (b"abcdef", True)


def test_body_that_never_arrives_is_a_408() -> None:
    reader = _TimedReader(Inner(60.0), 0.01)
    with pytest.raises(RequestTimeout):
        reader.read(10)
    assert not reader.finished


def test_body_that_arrives_too_slowly_is_a_408_by_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(gunicorn_worker.time, "monotonic", lambda: now[0])
    reader = _TimedReader(Inner(b"a", b"b", 60.0), 20)
    for expected in (b"a", b"b"):
        assert reader.read(10) == expected
        now[0] += 15
    with pytest.raises(RequestTimeout), gevent.Timeout(60, AssertionError("the deadline was reset")):
        reader.read(10)


def test_body_deadline_starts_with_the_first_read(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(gunicorn_worker.time, "monotonic", lambda: now[0])
    reader = _TimedReader(Inner(b"a"), 20)
    now[0] += 3600
    assert reader.read(10) == b"a"


@pytest.mark.parametrize("fault", [NoMoreData(b"x"), InvalidChunkSize("+5")])
def test_body_that_is_malformed_is_a_400(fault: Exception) -> None:
    with pytest.raises(BadRequest):
        _TimedReader(Inner(fault), 5).read(10)


@pytest.mark.parametrize("chunks", [b"+5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello"])
def test_chunked_body_that_is_malformed_is_a_400(chunks: bytes) -> None:
    request = SimpleNamespace(trailers=[], limit_request_fields=10, parse_headers=lambda *_, **__: [])
    body = Body(_TimedReader(ChunkedReader(request, IterUnreader([chunks])), 5))
    with pytest.raises(BadRequest):
        body.read()


def test_view_reads_the_whole_body_through_the_timed_reader() -> None:
    body = Body(_TimedReader(length_reader(b"x" * 100_000), 5))
    assert len(body.read()) == 100_000


def request(reader: Any, buffered: bytes = b"") -> Any:
    return SimpleNamespace(body=SimpleNamespace(reader=reader), unreader=SimpleNamespace(buf=io.BytesIO(buffered)))


@pytest.fixture
def fair(monkeypatch: pytest.MonkeyPatch) -> FairWorker:
    made: FairWorker = FairWorker.__new__(FairWorker)
    made._body_seconds = 5.0
    made.log = SimpleNamespace(debug=lambda *_: None)
    made.cfg = SimpleNamespace(keepalive=60)
    return made


@pytest.fixture
def client() -> Any:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(("sent", "buffered"), [(b"GET /", b""), (b"", b"GET /")])
def test_worker_lets_others_run_before_a_pipelined_request(
    fair: FairWorker,
    client: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    sent: bytes,
    buffered: bytes,
) -> None:
    order: list[str] = []
    monkeypatch.setattr(GeventWorker, "handle_request", lambda *_: order.append("answered") or True)
    client[1].sendall(sent)
    gevent.spawn(order.append, "another")
    assert fair.handle_request("x", request(length_reader(b""), buffered), client[0], ("127.0.0.1", 1)) is True
    assert order == ["answered", "another"]


def test_worker_closes_an_idle_connection(
    fair: FairWorker, client: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GeventWorker, "handle_request", lambda *_: True)
    fair.cfg.keepalive = 0.01
    with pytest.raises(StopIteration):
        fair.handle_request("x", request(length_reader(b"")), client[0], ("127.0.0.1", 1))


def test_worker_closes_the_connection_if_the_body_was_not_read(
    fair: FairWorker, client: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = client
    monkeypatch.setattr(GeventWorker, "handle_request", lambda *_: True)
    theirs.sendall(b"the unread rest")
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(StopIteration):
        fair.handle_request("x", request(length_reader(b"x" * 10)), ours, ("127.0.0.1", 1))
    assert theirs.recv(10) == b""


def test_worker_keeps_the_connection_if_the_body_was_read(
    fair: FairWorker, client: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reads(_self: Any, _listener: Any, req: Any, *_: Any) -> bool:
        assert req.body.reader.read(10) == b"0123456789"
        return True

    monkeypatch.setattr(GeventWorker, "handle_request", reads)
    client[1].sendall(b"GET /")
    assert fair.handle_request("x", request(length_reader(b"0123456789")), client[0], ("127.0.0.1", 1)) is True


@pytest.mark.parametrize("trouble", [TimeoutError, CutShortError])
def test_worker_closes_the_connection_if_the_answer_is_cut_short(
    fair: FairWorker,
    client: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    trouble: type[OSError],
) -> None:
    def stuck(*_: Any) -> bool:
        raise trouble

    monkeypatch.setattr(GeventWorker, "handle_request", stuck)
    with pytest.raises(StopIteration):
        fair.handle_request("x", request(length_reader(b"")), client[0], ("127.0.0.1", 1))
    assert client[0].gettimeout() == gunicorn_worker.WRITE_TIMEOUT


@pytest.mark.parametrize("encrypted", [False, True])
def test_worker_uses_sendfile_on_plain_connections_only(
    fair: FairWorker, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    ours, theirs = gevent.socket.socketpair()
    served: list[Any] = []
    fair.cfg.is_ssl = encrypted
    monkeypatch.setattr(GeventWorker, "handle", lambda _self, _listener, client, _addr: served.append(client))
    fair.handle("x", ours, ("127.0.0.1", 1))
    (client,) = served
    assert isinstance(client, FileSocket) is not encrypted
    client.sendall(b"here")
    assert theirs.recv(10) == b"here"
    client.close()
    ours.close()
    theirs.close()


def test_worker_reads_a_bounded_part_of_an_unread_body() -> None:
    class Endless:
        taken = 0

        def shutdown(self, how: int) -> None:
            assert how == socket.SHUT_WR

        def recv(self, size: int) -> bytes:
            self.taken += size
            assert self.taken < 10_000_000
            return b"x" * size

    endless = Endless()
    gunicorn_worker._linger(endless)
    assert endless.taken == gunicorn_worker._LINGER_BYTES


def test_worker_lingering_on_a_closed_connection_raises_nothing() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    gunicorn_worker._linger(ours)
    ours.close()
    gunicorn_worker._linger(ours)


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
    fair._end_live = lambda: ended.append("live")
    fair._end = lambda: ended.append("telemetry")
    monkeypatch.setattr(GeventWorker, "run", lambda _self: None)
    fair.run()

    def fails(_self: Any) -> None:
        raise OSError

    monkeypatch.setattr(GeventWorker, "run", fails)
    with pytest.raises(OSError):  # noqa: PT011 - any error
        fair.run()
    assert ended == ["live", "telemetry"] * 2


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
import sys, types
sys.modules["church.stale"] = types.ModuleType("church.stale")
from church import config as old
from church.server import gunicorn_worker as worker
from church.observability.metrics import worker_files as old_files
from gunicorn.workers.ggevent import GeventWorker
seen = []
def load(self):
    from church import config, create_app
    from church.observability.metrics import worker_files
    self.wsgi = create_app()
    ours = sys.modules[worker.__name__] is worker
    seen.append((config is old, "church.stale" in sys.modules, worker_files.SLOTS.number, ours))
GeventWorker.load_wsgi = load
made = worker.FairWorker.__new__(worker.FairWorker)
made.load_wsgi()
made._end()
print(seen, made._body_seconds)
"""


def test_worker_imports_the_site_again_and_starts_telemetry_before_the_app(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={"CHURCH_INSTANCE": str(tmp_path / "i"), "CHURCH_LOG_DIR": str(tmp_path / "l"), "CHURCH_BODY_TIMEOUT": "7"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[(False, False, 0, True)] 7.0\n"


def test_master_loads_neither_flask_nor_gevent() -> None:
    """Workers inherit the master's imports, which gevent then can't patch any more."""
    asks = (
        "import sys, church.server.gunicorn_logger\n"
        "print([n for n in ('flask', 'gevent', 'sqlalchemy', 'redis') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
