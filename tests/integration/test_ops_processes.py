"""Children of a process are found without pgrep."""

from __future__ import annotations

import os
import subprocess
import sys

from ops.processes import list_children
from tests.support.services_fixture import wait_until


def test_child_is_listed_until_it_has_ended():
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.pid in list_children(os.getpid())
        child.stdin.close()
        wait_until(lambda: child.pid not in list_children(os.getpid()), "a child that ended is not listed")
