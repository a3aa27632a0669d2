"""A bounded pool of threads with turns between senders: its queue, and the pool with and without gevent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from church.errors import BusyError
from church.lib.fair_pool import FairPool, FairQueue, Share


def put(queue: FairQueue[str], *items: str, most: int = 99) -> list[str]:
    """Put items such as a1, which client a sends; return those that lose their place."""
    return [lost for item in items for lost in queue.put(item, item[0], (Share(item[0], most),))]


def drain(queue: FairQueue[str]) -> list[str]:
    found = []
    while (item := queue.pop()) is not None:
        found.append(item)
    return found


# -- turns ----------------------------------------------------------------------------------------------------------


def test_queue_takes_senders_in_turn_and_each_in_order() -> None:
    queue: FairQueue[str] = FairQueue(9)
    put(queue, "a1", "a2", "a3", "b1", "c1", "b2")
    assert drain(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_queue_newcomer_waits_for_the_turns_of_others_that_are_left_in_the_round() -> None:
    queue: FairQueue[str] = FairQueue(9)
    put(queue, "a1", "a2", "a3", "b1", "b2")
    assert queue.pop() == "a1"
    put(queue, "n1", "a4")
    assert drain(queue) == ["b1", "n1", "a2", "b2", "a3", "a4"]


def test_queue_newcomer_comes_before_the_next_turn_of_one_that_was_served_without_waiting() -> None:
    queue: FairQueue[str] = FairQueue(9)
    queue.note_turn("a")
    put(queue, "a1", "a2", "n1", "m1")
    assert drain(queue) == ["n1", "m1", "a1", "a2"]


def test_queue_newcomers_pass_a_sender_only_during_its_own_turn() -> None:
    queue: FairQueue[str] = FairQueue(9)
    put(queue, "a1", "a2", "b1")
    assert queue.pop() == "a1"
    found = []
    for newcomer in ("n1", "o1", "p1"):
        put(queue, newcomer)
        found.append(queue.pop())
    assert found == ["b1", "n1", "a2"]
    assert drain(queue) == ["o1", "p1"]


def test_queue_removed_item_is_never_taken() -> None:
    queue: FairQueue[str] = FairQueue(9)
    put(queue, "a1", "b1")
    assert queue.remove("a1")
    assert not queue.remove("a1")
    assert drain(queue) == ["b1"]


# -- shares -----------------------------------------------------------------------------------------------------------


def test_queue_sender_beyond_its_share_is_refused_and_others_are_not() -> None:
    queue: FairQueue[str] = FairQueue(9)
    put(queue, "a1", "a2", most=2)
    with pytest.raises(BusyError):
        put(queue, "a3", most=2)
    put(queue, "b1", most=2)
    assert drain(queue) == ["a1", "b1", "a2"]


def test_queue_share_has_room_again_when_an_item_is_taken() -> None:
    queue: FairQueue[str] = FairQueue(9)
    put(queue, "a1", "a2", most=2)
    queue.pop()
    assert put(queue, "a3", most=2) == []


def test_queue_full_newcomer_displaces_the_last_item_of_the_longest_line() -> None:
    queue: FairQueue[str] = FairQueue(4)
    put(queue, "a1", "b1", "b2", "b3")
    assert put(queue, "n1") == ["b3"]
    assert drain(queue) == ["a1", "b1", "n1", "b2"]


def test_queue_full_of_senders_with_one_item_each_refuses() -> None:
    queue: FairQueue[str] = FairQueue(3)
    put(queue, "a1", "b1", "c1")
    for item in ("n1", "a2"):
        with pytest.raises(BusyError):
            put(queue, item)
    assert drain(queue) == ["a1", "b1", "c1"]


def test_queue_full_displaces_nobody_for_a_sender_that_would_then_have_as_much() -> None:
    queue: FairQueue[str] = FairQueue(3)
    put(queue, "a1", "a2", "b1")
    with pytest.raises(BusyError):
        put(queue, "b2")
    assert drain(queue) == ["a1", "b1", "a2"]


def test_queue_share_of_an_account_makes_room_for_its_owner_at_another_client() -> None:
    queue: FairQueue[str] = FairQueue(9)
    account = Share("account", 2)
    for item in ("a1", "a2"):
        queue.put(item, "a", (Share("a", 4), account))
    assert queue.put("o1", "o", (Share("o", 4), account)) == ["a2"]
    with pytest.raises(BusyError):
        queue.put("a3", "a", (Share("a", 4), account))
    assert drain(queue) == ["a1", "o1"]


def test_queue_refused_item_displaces_nothing() -> None:
    queue: FairQueue[str] = FairQueue(3)
    put(queue, "a1", "a2", "b1")
    with pytest.raises(BusyError):
        queue.put("n1", "n", (Share("n", 0),))
    assert drain(queue) == ["a1", "b1", "a2"]


# -- the pool, in a process that gevent has patched ------------------------------------------------------------------

_SETUP = """
from gevent import monkey
monkey.patch_all()
import os, sys
import gevent
from church.lib.fair_pool import FairPool, Share
from church.errors import BusyError

native = monkey.get_original("threading", "get_ident")
sleep = monkey.get_original("time", "sleep")
gate = []
done = []

def wait(name=""):
    while not gate:
        sleep(0.001)
    done.append(name)

def run(name):
    try:
        pool.run(name[0], (Share(name[0], 2),), wait, name)
    except BusyError as error:
        return f"busy {error.status} {error.retry_after}"
    return "done"

def send(name):
    return gevent.spawn(run, name)

def outcome(working):
    return working.get(timeout=100)
"""

_FULL = """
pool = FairPool(lambda: 2, queue=3, nice=10)
working = [send(name) for name in ("a1", "b1", "c1", "d1", "e1")]
gevent.sleep(0)
print(outcome(send("f1")))
hub = gevent.get_hub().threadpool
print("the hub's pool is free", hub.apply(lambda: "yes"))
gate.append(1)
print([outcome(one) for one in working])
print("room again", outcome(send("g1")))
print("in another thread", pool.run("a", (), native) != native())
"""

_TURNS = """
pool = FairPool(1, queue=4, nice=0)
working = [send(name) for name in ("a1", "a2", "a3", "a4", "b1")]
gevent.sleep(0)
gevent.sleep(0)
gate.append(1)
print([outcome(one) for one in working])
print(done)
"""

_DISPLACED = """
pool = FairPool(1, queue=3, nice=0)
working = [send(name) for name in ("x1", "a1", "a2", "b1", "c1")]
gevent.sleep(0)
print(outcome(working[2]))
gate.append(1)
print([outcome(one) for one in working])
print(done)
"""

_KILLED = """
pool = FairPool(1, queue=4, nice=0)
running, waiting, granted, last = [send(name) for name in ("x1", "a1", "b1", "c1")]
gevent.sleep(0)
running.kill()
waiting.kill()
print("the thread of a killed caller is not free", not done and not granted.dead)
gate.append(1)
while not done:
    gevent.sleep(0)
last.kill()
print(outcome(granted), done)
print("free again", outcome(send("d1")))
"""

_NICE = """
def niceness():
    return os.getpriority(os.PRIO_PROCESS, 0)

before = niceness()
pool = FairPool(1, queue=0, nice=10)
print(*(pool.run("a", (), niceness) - before for _ in range(2)), niceness() - before)
"""

_BROKEN = """
def broken():
    raise LookupError("no such thing")

pool = FairPool(1, queue=0, nice=0)
for _ in range(3):
    try:
        pool.run("a", (), broken)
    except LookupError as error:
        print("raised", error)
    gevent.sleep(0.01)
"""

_FORKED = """
pool = FairPool(1, queue=0, nice=0)
print("parent", pool.run("a", (), lambda: "works"), flush=True)
child = os.fork()
if not child:
    with gevent.Timeout(100):
        print("child", pool.run("a", (), lambda: "works"), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def printed(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _SETUP + script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_pool_without_gevent_calls_directly_and_raises() -> None:
    pool = FairPool(1, queue=0, nice=10)
    assert pool.run("a", (), threading.get_ident) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        pool.run("a", (), lambda number: 1 / number, 0)


def test_pool_full_refuses_at_once_and_does_not_block_the_hub() -> None:
    assert printed(_FULL) == [
        "busy 503 2",
        "the hub's pool is free yes",
        "['done', 'done', 'done', 'done', 'done']",
        "room again done",
        "in another thread True",
    ]


def test_pool_gives_threads_to_senders_in_turn_within_their_shares() -> None:
    assert printed(_TURNS) == ["['done', 'done', 'done', 'busy 503 2', 'done']", "['a1', 'b1', 'a2', 'a3']"]


def test_pool_full_drops_the_last_work_of_the_longest_line_for_a_newcomer() -> None:
    assert printed(_DISPLACED) == [
        "busy 503 2",
        "['done', 'done', 'busy 503 2', 'done', 'done']",
        "['x1', 'a1', 'b1', 'c1']",
    ]


def test_pool_killed_callers_leave_the_queue_and_their_thread_when_it_is_done() -> None:
    assert printed(_KILLED) == [
        "the thread of a killed caller is not free True",
        "done ['x1', 'b1']",
        "free again done",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is a thread's own on Linux alone")
def test_pool_threads_have_lower_priority_and_other_threads_do_not() -> None:
    lower = min(10, 19 - os.getpriority(os.PRIO_PROCESS, 0))
    assert lower > 0
    assert printed(_NICE) == [f"{lower} {lower} 0"]


def test_pool_raises_exceptions_quietly_and_accepts_work_afterwards() -> None:
    assert printed(_BROKEN) == ["raised no such thing"] * 3


def test_pool_of_a_forked_child_has_its_own_threads() -> None:
    assert printed(_FORKED) == ["parent works", "child works"]
