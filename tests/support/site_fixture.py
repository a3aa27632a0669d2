"""A real site for the tests: gunicorn workers on a free port, with a real store."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from church.config import Settings, load_settings
from church.store import StoreClient, embedded_command
from ops.processes import list_children
from tests.support.databases import bring_to_head
from tests.support.environment import forget_the_shell
from tests.support.helpers import is_alive
from tests.support.log_lines import parse_record
from tests.support.services_fixture import free_port, wait_until

ROOT = Path(__file__).parent.parent.parent
_SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")


def whole_lines(path: Path) -> list[bytes]:
    """Complete lines of a log that is being written: a reader may see the beginning of a line that is being added."""
    return path.read_bytes().split(b"\n")[:-1]


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class Site:
    """A site with its own folders and port. ``extra`` are settings by their environment names."""

    def __init__(self, folder: Path, **extra: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.logs = folder / "logs"
        self.console = folder / "console.txt"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CHURCH_", "OTEL_"))}
        own = {
            "CHURCH_ENV_FILE": "",
            "CHURCH_BIND": f"127.0.0.1:{self.port}",
            "CHURCH_INSTANCE": str(folder / "instance"),
            "CHURCH_LOG_DIR": str(self.logs),
            "CHURCH_STORE_TIMEOUT": "2",  # a busy machine may need more than 90 ms
            "CHURCH_LIMIT_PAGE": "1000000/minute",
            "CHURCH_LIMIT_API": "1000000/minute",
            "CHURCH_LIMIT_TELEMETRY_API": "1000000/minute",
        }
        self.environment = {**inherited, **own, **extra}
        self._processes: list[subprocess.Popen[bytes]] = []
        self.settings: Settings = load_settings(**{**own, **extra})

    def start(self, store: bool = True, work: bool = False) -> Site:
        """Migrate, start the store and gunicorn, and wait for the site. ``work`` also starts a job worker."""
        self.settings.instance.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        bring_to_head(self.settings)
        if store:
            self._processes.append(subprocess.Popen(embedded_command(self.settings), stderr=subprocess.DEVNULL))
            wait_until(lambda: StoreClient(self.settings).ping(), "the store answers")
        self.gunicorn = self._begin("gunicorn", "-c", "ops/gunicorn.conf.py")
        self._processes.append(self.gunicorn)
        if work:
            self._processes.append(self._begin("flask", "church", "work"))
        wait_until(self._serves, f"the site answers (see {self.console})", 90)
        wait_until(lambda: self.value("gunicorn_workers") == self.settings.workers, "all workers are there", 90)
        return self

    def _begin(self, *module: str) -> subprocess.Popen[bytes]:
        with self.console.open("ab") as console:
            command = self.command(*module)
            return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=console, stderr=console)

    def command(self, *module: str) -> list[str]:
        """The command that starts a process of the site."""
        return [sys.executable, "-m", *module]

    def run(self, *command: str) -> str:
        """Run ``flask church …``, which must succeed, and return its output."""
        arguments = [sys.executable, "-m", "flask", "church", *command]
        return subprocess.run(
            arguments, env=self.environment, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout

    def _serves(self) -> bool:
        if self.gunicorn.poll() is not None:
            pytest.fail(f"gunicorn ended with {self.gunicorn.returncode}: {self.console.read_text()[-2000:]}")
        with suppress(OSError):
            return self.get("/ready")[0] == 200
        return False

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """GET a page and return status and body, also of an error."""
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read()

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All samples of /metrics, by name and labels."""
        token = self.environment.get("METRICS_TOKEN")
        status, body = self.get("/metrics", **({"Authorization": f"Bearer {token}"} if token else {}))
        assert status == 200, body
        samples = {}
        for line in body.decode().splitlines():
            if not line.startswith("#") and (match := _SAMPLE.fullmatch(line)):
                labels = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match["labels"] or ""))
                samples[match["name"], labels] = float(match["value"])
        return samples

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series of ``name`` that have these labels."""
        wanted = set(labels.items())
        return sum(v for (n, have), v in self.samples().items() if n == name and wanted <= have)

    def worker_pids(self) -> list[int]:
        """Process IDs of the running gunicorn workers."""
        return list_children(self.gunicorn.pid)

    @contextmanager
    def only_worker(self, pid: int) -> Iterator[None]:
        """Stop all other workers for the block: what is asked in it is answered by this one."""
        others = [other for other in self.worker_pids() if other != pid]
        try:
            for other in others:
                os.kill(other, signal.SIGSTOP)
            wait_until(lambda: all(map(_is_stopped, others)), "the other workers have stopped")
            yield
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)

    def records(self, name: str = "combined.log") -> list[dict[str, Any]]:
        """Parsed records of a log file. A broken line fails."""
        path = self.logs / name
        return [parse_record(line) for line in whole_lines(path)] if path.exists() else []

    def kill(self) -> None:
        """Kill all processes at once, as when a machine loses its power; ``start`` begins again."""
        pids = [pid for process in self._processes for pid in (process.pid, *list_children(process.pid))]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        wait_until(lambda: not any(map(is_alive, pids)), "all processes are gone")
        self._processes.clear()

    def stop(self) -> None:
        """Stop all processes, by SIGTERM first, then by SIGKILL."""
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def running(folder: Path, store: bool = True, **extra: str) -> Iterator[Site]:
    """Start a site for all tests of a module, without the settings of the shell.

    Starting one takes seconds, so tests share it if none of them stops or breaks it or depends on its counters.
    """
    with pytest.MonkeyPatch.context() as patch:
        forget_the_shell(patch)
        one = Site(folder, **extra)
    try:
        yield one.start(store)
    finally:
        one.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """A function that starts a site with some settings. The sites stop with the test."""
    started: list[Site] = []

    def start(store: bool = True, **extra: str) -> Site:
        one = Site(tmp_path, **extra)
        started.append(one)
        return one.start(store)

    yield start
    for one in started:
        one.stop()
