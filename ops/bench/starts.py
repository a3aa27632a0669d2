"""Benchmark starts: seconds from the start of the site to its first page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress

from ops.bench.server import ROOT, free_port


def _first_page(folder: str) -> float:
    """Run `flask church run`, return the seconds until the first page, and stop the site."""
    port = free_port()
    own = {
        "CHURCH_ENV_FILE": "",
        "CHURCH_BIND": f"127.0.0.1:{port}",
        "CHURCH_INSTANCE": f"{folder}/instance",
        "CHURCH_LOG_DIR": f"{folder}/logs",
    }
    started = time.monotonic()
    with open(f"{folder}/console", "ab") as console:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "church", "run"]
        site = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own}, stdout=console, stderr=console)
    try:
        while time.monotonic() < started + 60:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10):
                return time.monotonic() - started
            time.sleep(0.02)
        raise TimeoutError("the site did not start")
    finally:
        site.send_signal(signal.SIGTERM)
        site.wait(60)


def measure() -> None:
    """Print the times of a first and a second start."""
    with tempfile.TemporaryDirectory(prefix="church-bench-") as folder:
        first, second = _first_page(folder), _first_page(folder)
    print(f"  first start {first:.1f} s, second start {second:.1f} s to the first page")
