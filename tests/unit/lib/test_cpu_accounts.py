"""CPU time goes to the account of who used it, and all accounts together are the time of the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

_HOW: dict[str, Any] = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 100}

_BEGIN = """
import gc, json, time
from gevent import monkey
monkey.patch_all()
import gevent
from church.lib import cpu_accounts
from church.lib.cpu_accounts import Account, charged_to, connection, open_account, read_totals
from church.lib.threads import run_off_hub

cpu_accounts.start(greenlets=True)

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

def in_parts(seconds, parts):
    for _ in range(parts):
        burn(seconds / parts)
        gevent.sleep(0)

def tell(**facts):
    totals = read_totals()
    print(json.dumps({**facts, "totals": totals, "sum": sum(totals.values()), "process": time.process_time()}))
"""


def run(code: str) -> dict[str, Any]:
    """What ``code`` tells in a process that gevent has patched."""
    found = subprocess.run([sys.executable, "-c", _BEGIN + code], check=False, **_HOW)
    assert found.returncode == 0, found.stderr
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def test_requests_in_turns_have_their_own_time_alone() -> None:
    told = run("""
used = {}
def serve(name, seconds):
    with connection():
        account = open_account("request")
        since = account.begin(name)
        in_parts(seconds, 10)
        used[name] = account.end(since, "request")
gevent.joinall([gevent.spawn(serve, "short", 0.1), gevent.spawn(serve, "long", 0.3)])
tell(**used)
""")
    assert told["short"] == pytest.approx(0.1, abs=0.05)
    assert told["long"] == pytest.approx(0.3, abs=0.05)
    assert told["totals"]["request"] == pytest.approx(told["short"] + told["long"], abs=0.001)


def test_request_has_what_a_thread_did_for_it() -> None:
    told = run("""
def serve():
    with connection():
        account = open_account("request")
        since = account.begin("sign-in")
        run_off_hub(burn, 0.2)
        return account.end(since, "request")
tell(used=gevent.spawn(serve).get())
""")
    assert 0.2 <= told["used"] < 0.3
    assert told["totals"]["threads"] < 0.1


def test_request_has_what_its_connection_did_before_it_but_not_after() -> None:
    told = run("""
def serve():
    with connection():
        burn(0.1)
        account = open_account("request")
        since = account.begin("first")
        first = account.end(since, "request")
        burn(0.2)
        return first
tell(first=gevent.spawn(serve).get())
""")
    assert 0.1 <= told["first"] < 0.2
    assert 0.2 <= told["totals"]["connection"] < 0.3


def test_garbage_collection_is_taken_out_of_the_request_that_it_strikes() -> None:
    told = run("""
garbage = [[] for _ in range(300_000)]
def serve():
    with connection():
        account = open_account("request")
        since = account.begin("unlucky")
        for _ in range(10):
            gc.collect()
        return account.end(since, "request")
tell(used=gevent.spawn(serve).get())
""")
    assert told["used"] < told["totals"]["gc"] / 3


def test_work_that_lasts_is_booked_while_it_goes_on() -> None:
    told = run("""
def serve():
    with connection():
        account = open_account("request")
        since = account.begin("stream")
        burn(0.1)
        gevent.sleep(60)
gevent.spawn(serve)
gevent.sleep(0)
first = read_totals()["request"]
tell(first=first)
""")
    assert told["first"] == 0.0
    assert told["totals"]["request"] >= 0.1


def test_all_accounts_together_are_the_time_of_the_process() -> None:
    told = run("""
from church.lib import threads
done = []
def beside():
    burn(0.2)
    done.append(1)
    threads.sleep(60)
threads.start_thread(beside)
def serve(seconds):
    with connection():
        account = open_account("request")
        for _ in range(3):
            since = account.begin("request")
            in_parts(seconds, 5)
            run_off_hub(burn, seconds)
            gc.collect()
            account.end(since, "request")
gevent.joinall([gevent.spawn(serve, 0.02) for _ in range(4)] + [gevent.spawn(in_parts, 0.1, 5)])
while not done:
    gevent.sleep(0.001)
tell()
""")
    assert told["totals"]["threads"] >= 0.2
    assert told["totals"]["background"] >= 0.1
    assert told["sum"] == pytest.approx(told["process"], rel=0.03)


_JOBS = """
import json, threading, time
from church.lib import cpu_accounts
cpu_accounts.start(greenlets=False)

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

def work(seconds):
    with cpu_accounts.work_in_thread("job") as account:
        since = account.begin("job")
        burn(seconds)
        used.append(account.end(since, "job"))

used = []
workers = [threading.Thread(target=work, args=(seconds,)) for seconds in (0.1, 0.3)]
for worker in workers:
    worker.start()
while len(used) < 2:
    cpu_accounts.read_totals()
    time.sleep(0.01)
totals = cpu_accounts.read_totals()
print(json.dumps({"used": sorted(used), "job": totals["job"], "sum": sum(totals.values()),
                  "process": time.process_time()}))
"""


def test_jobs_of_several_threads_have_their_own_time_alone() -> None:
    found = subprocess.run([sys.executable, "-c", _JOBS], check=False, **_HOW)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["used"] == [pytest.approx(0.1, abs=0.05), pytest.approx(0.3, abs=0.05)]
    assert told["job"] == pytest.approx(sum(told["used"]), abs=0.01)
    assert told["sum"] == pytest.approx(told["process"], rel=0.03)
