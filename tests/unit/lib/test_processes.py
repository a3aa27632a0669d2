"""Return codes in words, and a child that dies with its parent."""

from __future__ import annotations

import subprocess
import sys

import pytest

from church.lib.processes import describe_exit
from tests.support.helpers import is_alive
from tests.support.services_fixture import wait_until


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell a child that its parent died")
def test_child_of_a_killed_supervisor_ends(tmp_path):
    code = (
        "import sys, time; from church.server.supervisor import SupervisedProcess\n"
        "c = SupervisedProcess('x', ['/bin/sleep', '1000']); c.start(); print(c.pid, flush=True); time.sleep(1000)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        parent.wait(timeout=60)
        wait_until(lambda: not is_alive(pid), "the orphan has ended")


@pytest.mark.parametrize(
    ("code", "words"), [(3, "exit code 3"), (-9, "killed by SIGKILL"), (-63, "killed by signal 63")]
)
def test_explain_describes_the_exit(code, words):
    assert describe_exit(code) == words
