"""Work in real threads off the hub, with and without gevent, and lines of those who wait."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from church.lib.threads import Line, run_off_hub

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

_LINE = """
from gevent import monkey
monkey.patch_all()
import gevent
from church.lib.threads import Line

line = Line(["turn"])
line.take()
got = []

def wait(name):
    got.append((name, line.take(60)))

def spawn(name):
    greenlet = gevent.spawn(wait, name)
    gevent.sleep(0)
    return greenlet

first, second = spawn("first"), spawn("second")
line.give("turn")
try:
    line.take(0)
    print("overtaken")
except TimeoutError:
    print("the newcomer waits")
gevent.sleep(0)
line.give(got[-1][1])
gevent.sleep(0)
print(got)

third, fourth = spawn("third"), spawn("fourth")
third.kill()
fourth.kill(block=False)
line.give("turn")  # given to the fourth, which is ended before it gets up
gevent.sleep(0)
print(len(line), got[2:])
"""


def test_line_first_who_waits_gets_the_next_and_no_newcomer_overtakes() -> None:
    done = subprocess.run([sys.executable, "-c", _LINE], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == [
        "the newcomer waits",
        "[('first', 'turn'), ('second', 'turn')]",
        "1 []",
    ]


def test_line_waiting_is_bounded_and_loses_nothing() -> None:
    line: Line[str] = Line()
    for timeout in (0, 0.001):
        with pytest.raises(TimeoutError):
            line.take(timeout)
    line.give("turn")
    assert line.take(0) == "turn"


def test_line_takes_back_from_a_finalizer_that_runs_inside_it() -> None:
    line: Line[str] = Line()

    def give_within() -> None:
        with line._lock:
            line.give("turn")

    thread = threading.Thread(target=give_within, daemon=True)
    thread.start()
    assert line.take(60) == "turn"


def test_line_between_threads_hands_over_what_is_given() -> None:
    line: Line[str] = Line()
    got: list[str] = []
    waiting = [threading.Thread(target=lambda: got.append(line.take())) for _ in range(3)]
    for thread in waiting:
        thread.start()
    for turn in "abc":
        line.give(turn)
    for thread in waiting:
        thread.join(60)
    assert sorted(got) == ["a", "b", "c"]


def test_off_hub_without_gevent_calls_directly() -> None:
    assert run_off_hub(threading.get_ident) == threading.get_ident()


def test_off_hub_without_gevent_raises_exceptions() -> None:
    with pytest.raises(ZeroDivisionError):
        run_off_hub(lambda number: 1 / number, 0)


def test_off_hub_under_gevent_lets_greenlets_run_and_raises_quietly() -> None:
    done = subprocess.run([sys.executable, "-c", _PATCHED], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "raised no such thing\n"
    assert done.stderr == ""
