"""Supervised processes: restart delays, exit codes, and no child outlives its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from church.lib.processes import describe_exit
from church.server.supervisor import SupervisedProcess
from tests.support.services_fixture import wait_until


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


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
    wait_until(lambda: not alive(grandchild), "the grandchild is gone")


def alive(pid):
    """Whether ``pid`` still runs; a zombie does not count."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell a child that its parent died")
def test_child_of_a_killed_supervisor_ends(tmp_path):
    code = (
        "import sys, time; from church.server.supervisor import SupervisedProcess\n"
        "c = SupervisedProcess('x', ['/bin/sleep', '1000']); c.start(); print(c.pid, flush=True); time.sleep(1000)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
        parent.wait(timeout=60)
        wait_until(lambda: not alive(pid), "the orphan has ended")


@pytest.mark.parametrize(
    ("code", "words"), [(3, "exit code 3"), (-9, "killed by SIGKILL"), (-63, "killed by signal 63")]
)
def test_explain_describes_the_exit(code, words):
    assert describe_exit(code) == words


def test_signal_to_an_ended_child_reaches_no_process():
    child = SupervisedProcess("x", ["/bin/true"])
    child.start()
    pid = child.pid
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    child.send(signal.SIGTERM)
    child.kill()
    assert ended(child) == 0
