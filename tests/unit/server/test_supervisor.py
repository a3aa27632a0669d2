"""Supervised processes, and the supervisor with stand-in programs: what it restarts and signals, how it stops."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from church.server import supervisor
from church.server.launch import list_children, make_plan
from church.server.supervisor import Plan, SupervisedProcess, find_bind_problem
from tests.support.clock import Clock
from tests.support.helpers import is_alive
from tests.support.services_fixture import free_port, site_settings, wait_until

# Runs a Supervisor over three stand-ins that write what happens to them into a folder.
HARNESS = """
import logging, signal, sys, time
from church.server.supervisor import SupervisedProcess
from church.server import supervisor
logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
folder, bind, stubborn = sys.argv[1:4]
supervisor.GRACE = float(sys.argv[4])
stand_in = '''
import os, signal, sys, time
name, folder, stubborn = sys.argv[1:4]
def note(text):
    with open(f"{folder}/events", "a") as f: f.write(f"{name} {text}\\\\n")
def on(number, frame):
    note(signal.Signals(number).name)
    if number == signal.SIGTERM and name != stubborn: sys.exit(0)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1): signal.signal(number, on)
signal.alarm(120)  # a test that fails leaves nothing for long
note(f"start {os.getpid()}")
while True: time.sleep(1000)
'''
def child(name): return SupervisedProcess(name, [sys.executable, "-c", stand_in, name, folder, stubborn])
sys.exit(supervisor.Supervisor([child("store"), child("web"), child("work")], bind).run())
"""


class Harness:
    def __init__(self, folder, stubborn="-", grace=300.0):
        self.folder = folder
        self.bind = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-c", textwrap.dedent(HARNESS), str(folder), self.bind, stubborn, str(grace)]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, start_new_session=True)

    def events(self):
        path = self.folder / "events"
        return path.read_text().splitlines() if path.exists() else []

    def pids(self, name):
        return [int(event.split()[2]) for event in self.events() if event.startswith(f"{name} start")]

    def up(self, count=3):
        wait_until(lambda: sum(" start " in event for event in self.events()) >= count, f"{count} starts")
        return self

    def stopped(self):
        return self.process.wait(timeout=120)


@pytest.fixture
def harness(tmp_path):
    made = []

    def make(**options):
        made.append(Harness(tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.wait(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_all_and_the_store_last(harness, number):
    running = harness().up()
    running.process.send_signal(number)
    assert running.stopped() == 0
    ends = [event for event in running.events() if "SIGTERM" in event]
    assert sorted(ends) == ["store SIGTERM", "web SIGTERM", "work SIGTERM"]
    assert ends[-1] == "store SIGTERM"


def test_signal_that_comes_while_they_start_stops_all(harness):
    running = harness()
    wait_until(lambda: "store runs" in running.log.read_text(), "the first has been started")
    running.process.terminate()
    assert running.stopped() == 0


@pytest.mark.parametrize("name", ["store", "web", "work"])
def test_child_that_dies_is_restarted_and_the_reason_is_logged(harness, name):
    running = harness().up()
    os.kill(running.pids(name)[0], signal.SIGKILL)
    wait_until(lambda: len(running.pids(name)) == 2, f"{name} is started again")
    assert f"{name} ended (killed by SIGKILL)" in running.log.read_text()
    others = {"store", "web", "work"} - {name}
    assert all(len(running.pids(other)) == 1 for other in others)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_reload_and_reopen_reach_gunicorn_alone(harness, number):
    running = harness().up()
    running.process.send_signal(number)
    wait_until(lambda: f"web {number.name}" in running.events(), "gunicorn has it")
    running.process.terminate()
    assert running.stopped() == 0
    assert not {f"store {number.name}", f"work {number.name}"} & set(running.events())


def test_second_signal_kills_children_that_do_not_end(harness):
    running = harness(stubborn="work").up()
    running.process.terminate()
    wait_until(lambda: "work SIGTERM" in running.events(), "it was asked")
    assert running.process.poll() is None
    running.process.terminate()
    assert running.stopped() == 1


def test_child_that_does_not_end_in_its_grace_is_killed(harness):
    running = harness(stubborn="web", grace=0.2).up()
    running.process.terminate()
    assert running.stopped() == 1


def test_address_in_use_is_logged_and_nothing_is_started(tmp_path, harness, caplog):
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        assert supervisor.Supervisor([], bind).run() == 1
    assert f"cannot listen on {bind}: Address already in use" in caplog.text
    assert "CHURCH_BIND" in caplog.text


def test_bind_problem_free_and_foreign_address():
    assert find_bind_problem(f"127.0.0.1:{free_port()}") is None
    assert find_bind_problem("192.0.2.1:8000")


def test_second_supervisor_of_an_instance_names_the_first(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(supervisor, "install_logs", lambda _plan: None)  # leaves the log of the tests alone
    settings = site_settings(tmp_path)
    settings.instance.mkdir(exist_ok=True)
    with (settings.instance / "run.lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert supervisor.run(make_plan(settings, [])) == 1
    assert "already run by process 4711" in caplog.text


def test_children_without_redis_and_stripe_are_store_web_and_till(tmp_path):
    assert [child.name for child in list_children(site_settings(tmp_path))] == ["store", "web", "till", "observe"]


def test_children_with_a_stripe_key_or_another_stripe_start_no_till(tmp_path):
    for another in ({"STRIPE_SECRET_KEY": "sk_test_1"}, {"STRIPE_API_BASE": "http://127.0.0.1:1"}):
        assert [child.name for child in list_children(site_settings(tmp_path, **another))] == [
            "store",
            "web",
            "observe",
        ]


def test_children_with_redis_start_no_store(tmp_path):
    settings = site_settings(tmp_path, REDIS_URL="redis://cache.example")
    assert [child.name for child in list_children(settings)] == ["web", "till", "observe"]


def test_plan_is_the_same_after_it_was_passed_on(tmp_path):
    plan = make_plan(site_settings(tmp_path), ["Church: http://127.0.0.1:8000"])
    assert Plan.from_json(plan.to_json()) == plan


@pytest.fixture
def clock():
    return Clock()


def ended(child):
    codes = []

    def reaped():
        code = child.reap()
        if code is not None:
            codes.append(code)
        return codes

    wait_until(reaped, "the child has ended")
    return codes[0]


def delays(child, clock, lives):
    found = []
    for life in lives:
        child.start()
        clock.now += life
        ended(child)
        found.append(round(child.due - clock.now, 3))
    return found


def test_restart_delay_doubles_to_a_maximum_and_resets_after_a_stable_run(clock):
    child = SupervisedProcess("x", ["/bin/true"], clock=clock)
    assert delays(child, clock, [0.1] * 8) == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert delays(child, clock, [29.9, 30.0, 1]) == [10.0, 0.2, 0.4]


def test_child_that_cannot_start_is_tried_again_later(clock):
    child = SupervisedProcess("x", ["/nonexistent/program"], clock=clock)
    with pytest.raises(FileNotFoundError):
        child.start()
    assert child.due == clock.now + 0.2
    assert child.pid is None


def test_child_has_its_own_process_group_and_no_input():
    code = "import os, sys; sys.exit(os.getpgrp() != os.getpid() or bool(sys.stdin.read()))"
    child = SupervisedProcess("x", [sys.executable, "-c", code])
    child.start()
    assert ended(child) == 0


def test_kill_ends_everything_the_child_has_started(tmp_path):
    child = SupervisedProcess("x", ["/bin/sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid; wait"])
    child.start()
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"), "it has started")
    grandchild = int((tmp_path / "pid").read_text())
    child.kill()
    assert ended(child) == -signal.SIGKILL
    wait_until(lambda: not is_alive(grandchild), "the grandchild is gone")


def test_signal_to_an_ended_child_reaches_no_process():
    child = SupervisedProcess("x", ["/bin/true"])
    child.start()
    pid = child.pid
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    child.send(signal.SIGTERM)
    child.kill()
    assert ended(child) == 0
