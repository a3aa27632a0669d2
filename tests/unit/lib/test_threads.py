"""Work in real threads off the hub, with and without gevent."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from church.lib.threads import run_off_hub

_PATCHED = """
from gevent import monkey
monkey.patch_all()
import gevent
from gevent.threadpool import ThreadPool
from church.lib.threads import run_off_hub

native = monkey.get_original("threading", "get_ident")
sleep = monkey.get_original("time", "sleep")
main = native()
done = []

def slow():
    while len(done) < 3:
        sleep(0.001)
    return native()

def others():
    for n in range(3):
        done.append(n)
        gevent.sleep(0)

def broken():
    raise LookupError("no such thing")

working = gevent.spawn(run_off_hub, slow)
gevent.spawn(others)
assert working.get(timeout=100) != main
try:
    run_off_hub(broken)
except LookupError as error:
    print("raised", error)
"""


def test_off_hub_without_gevent_calls_directly() -> None:
    assert run_off_hub(threading.get_ident) == threading.get_ident()


def test_off_hub_without_gevent_raises_exceptions() -> None:
    with pytest.raises(ZeroDivisionError):
        run_off_hub(lambda number: 1 / number, 0)


def test_off_hub_under_gevent_lets_greenlets_run_and_raises_quietly() -> None:
    done = subprocess.run([sys.executable, "-c", _PATCHED], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "raised no such thing\n"
    assert done.stderr == ""
