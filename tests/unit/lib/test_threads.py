"""Work in real threads, with and without gevent: off the hub, and in pools that bound how many run and wait."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from church.lib.threads import BoundedPool, run_off_hub

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


_POOL_SETUP = """
from gevent import monkey
monkey.patch_all()
import os, sys
import gevent
from church.lib.threads import BoundedPool
from church.errors import BusyError

native = monkey.get_original("threading", "get_ident")
sleep = monkey.get_original("time", "sleep")
"""

_FULL = """
gate = []

def wait():
    while not gate:
        sleep(0.001)
    return native()

pool = BoundedPool(lambda: 2, queue=3, nice=10)
working = [gevent.spawn(pool.run, wait) for _ in range(5)]
gevent.sleep(0)
for _ in range(2):
    try:
        pool.run(wait)
    except BusyError as error:
        print("busy", error.status, error.retry_after)
hub = gevent.get_hub().threadpool
print("the hub's pool is free", hub.apply(lambda: "yes"))
gate.append(1)
threads = {one.get(timeout=100) for one in working}
threads.add(pool.run(wait))
print("room again, threads", 1 <= len(threads) <= 2, native() in threads)
"""

_NICE = """
def niceness():
    return os.getpriority(os.PRIO_PROCESS, 0)

before = niceness()
pool = BoundedPool(1, queue=0, nice=10)
print(pool.run(niceness) - before, pool.run(niceness) - before, niceness() - before)
"""

_BROKEN = """
def broken():
    raise LookupError("no such thing")

pool = BoundedPool(1, queue=0, nice=0)
for _ in range(3):
    try:
        pool.run(broken)
    except LookupError as error:
        print("raised", error)
"""

_FORKED = """
pool = BoundedPool(1, queue=0, nice=0)
print("parent", pool.run(lambda: "works"), flush=True)
child = os.fork()
if not child:
    with gevent.Timeout(100):
        print("child", pool.run(lambda: "works"), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def printed(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _POOL_SETUP + script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_pool_without_gevent_calls_directly_and_raises() -> None:
    pool = BoundedPool(1, queue=0, nice=10)
    assert pool.run(threading.get_ident) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        pool.run(lambda number: 1 / number, 0)


def test_pool_full_refuses_at_once_and_does_not_block_the_hub() -> None:
    assert printed(_FULL) == [
        "busy 503 2",
        "busy 503 2",
        "the hub's pool is free yes",
        "room again, threads True False",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is a thread's own on Linux alone")
def test_pool_threads_have_lower_priority_and_other_threads_do_not() -> None:
    assert printed(_NICE) == ["10 10 0"]


def test_pool_raises_exceptions_quietly_and_accepts_work_afterwards() -> None:
    assert printed(_BROKEN) == ["raised no such thing"] * 3


def test_pool_of_a_forked_child_has_its_own_threads() -> None:
    assert printed(_FORKED) == ["parent works", "child works"]
