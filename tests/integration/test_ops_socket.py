"""gunicorn on a socket that systemd holds: a restart refuses no connection."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.support.databases import bring_to_head
from tests.support.services_fixture import site_settings

ROOT = Path(__file__).resolve().parents[2]
# What systemd does before it runs a service: the socket becomes descriptor 3, and the process is named.
START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", "ops/gunicorn.conf.py", "wsgi:app"])
"""


@pytest.fixture
def held():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        yield listener


@pytest.fixture
def gunicorn(tmp_path, held):
    """Return a function that starts gunicorn on the held socket, as systemd does."""
    settings = site_settings(tmp_path)
    bring_to_head(settings)
    environment = {
        **os.environ,
        "CHURCH_BIND": f"127.0.0.1:{held.getsockname()[1]}",
        "CHURCH_INSTANCE": str(settings.instance),
        "CHURCH_LOG_DIR": str(settings.log_dir),
        "CHURCH_CONTENT": str(settings.content),
        "WEB_CONCURRENCY": "1",
    }
    started = []

    def start():
        command = [sys.executable, "-c", START, str(held.fileno())]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[held.fileno()]))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=90)


def test_request_between_two_gunicorns_is_answered_by_the_second(held, gunicorn):
    address = f"http://127.0.0.1:{held.getsockname()[1]}/health"
    first = gunicorn()
    with urllib.request.urlopen(address, timeout=120) as response:
        assert response.status == 200
    first.terminate()
    assert first.wait(timeout=90) == 0

    answers = []
    waiting = threading.Thread(target=lambda: answers.append(urllib.request.urlopen(address, timeout=120).status))
    waiting.start()  # no server runs now, but the connection is accepted
    gunicorn()
    waiting.join(timeout=120)
    assert answers == [200]
