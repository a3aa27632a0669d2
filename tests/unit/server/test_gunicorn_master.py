"""What the master does with signals that come while it replaces itself."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Iterator
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.workers.ggevent import GeventWorker

from church.server import gunicorn_master
from church.server.gunicorn_master import PreviousWorker, SiteMaster
from church.server.gunicorn_worker import FairWorker


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A master that has nothing to do, and that goes on after ``exec``."""
    one: Any = SiteMaster.__new__(SiteMaster)
    one.SIG_QUEUE = SimpleQueue()
    one.LISTENERS, one.WORKERS, one.systemd = [], {}, False
    one.cfg = SimpleNamespace(address=[])
    one._previous_work = []
    one.START_CTX = {"cwd": os.getcwd()}
    monkeypatch.setattr(gunicorn_master.os, "execve", lambda *_: None)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield one
    while pending := signal.sigpending() & gunicorn_master._SIGNALS:
        signal.sigwait(pending)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_reload_comes_after_the_signals_that_came_with_it(master: Any) -> None:
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        master.SIG_QUEUE.put(number)
    waited = master.wait_for_signals(0.01)
    assert waited == [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGHUP]


def test_reload_leaves_signals_that_were_not_handled_to_the_new_master(master: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, master.WAKEUP_REQUEST):
        master.SIG_QUEUE.put(number)
    master._replace_process()
    assert signal.sigpending() & gunicorn_master._SIGNALS == {signal.SIGTERM, signal.SIGCHLD}


def test_reload_stops_the_workers_of_a_reload_that_has_not_ended(master: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(gunicorn_master, "_send", lambda *args: sent.append(args))
    booting = SimpleNamespace(tmp=SimpleNamespace(last_update=lambda: time.monotonic() + 1e9))
    answering = SimpleNamespace(tmp=SimpleNamespace(last_update=time.monotonic))
    master.WORKERS = {10: PreviousWorker(10, 60.0), 11: answering, 12: booting}
    master._replace_process()
    assert sent == [(12, signal.SIGTERM)]


def held() -> set[int]:
    """The signals that wait now."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, []) & gunicorn_master._SIGNALS


def test_worker_is_forked_with_signals_held_until_it_handles_them(master: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []

    def live(_worker: Any) -> None:
        seen.append(held())

    def fork(_master: Any) -> int:
        FairWorker.init_signals(FairWorker.__new__(FairWorker))
        seen.append(held())
        return 4711

    monkeypatch.setattr(GeventWorker, "init_signals", live)
    monkeypatch.setattr(Arbiter, "spawn_worker", fork)
    assert master.spawn_worker() == 4711
    assert seen == [gunicorn_master._SIGNALS, set()]
    assert held() == set()


def test_work_is_forked_with_signals_held_until_it_handles_them(master: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []
    monkeypatch.setattr(gunicorn_master.signal, "signal", lambda *_: seen.append(held()))
    monkeypatch.setattr(gunicorn_master, "run_work", lambda _load: seen.append(held()))
    master.app = SimpleNamespace(wsgi=None)
    master.log = SimpleNamespace(info=lambda *_args, **_options: None)
    master._work = SimpleNamespace(due=0.0, pid=1, reap=lambda: None, start=master._run_work)
    master._mind_work()
    assert seen == [gunicorn_master._SIGNALS] * len(gunicorn_master._SIGNALS) + [set()]
    assert held() == set()


def test_reload_to_an_address_that_is_taken_keeps_the_site(master: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    master.master_name = "Master"
    master.log = SimpleNamespace(info=lambda *_: None, error=lambda text, *values: said.append(text % values))
    master.cfg = SimpleNamespace(address=[], bind=["127.0.0.1:1"])
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setattr(gunicorn_master, "read_settings", lambda **_: SimpleNamespace(bind=bind))
        master.handle_hup()
    assert said == [f"not reloaded, nothing can listen on {bind} beside this site: {os.strerror(errno.EADDRINUSE)}"]


def test_fork_that_fails_leaves_the_site_as_it_is(master: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "no process left")

    said: list[str] = []
    master.pid = os.getpid()
    master.log = SimpleNamespace(error=lambda text, *values, **_: said.append(text % values))
    master._work = SimpleNamespace(due=0.0, reap=lambda: None, start=fail)
    monkeypatch.setattr(Arbiter, "spawn_worker", fail)
    assert master.spawn_worker() == 0
    master._mind_work()
    master.WORKERS, master._num_workers = {10: PreviousWorker(10, 60.0)}, 1
    master.kill_worker = lambda *_: pytest.fail("the old worker is the only one")
    master._replace_workers()
    reason = f"[Errno {errno.EAGAIN}] no process left"
    cannot = f"no worker can be started: {reason}"
    assert said == [cannot, f"work cannot start: {reason}", cannot]
    assert held() == set()
