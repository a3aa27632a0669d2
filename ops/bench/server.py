"""What is measured: an instance of its own, gunicorn in it, and what its workers have spent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from church.config import load_settings
from church.database.migrations import migrate
from church.store import StoreClient, embedded_command

ROOT = Path(__file__).parent.parent.parent
UNLIMITED = "1000000/second"


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Instance:
    """Folders, settings, a database and a store of their own; ``port`` is where the site would listen."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.port = free_port()
        own = {
            "CHURCH_BIND": f"127.0.0.1:{self.port}",
            "CHURCH_INSTANCE": str(folder / "instance"),
            "CHURCH_LOG_DIR": str(folder / "logs"),
            "CHURCH_LIMIT_PAGE": UNLIMITED,
            "CHURCH_LIMIT_API": UNLIMITED,
            "CHURCH_LIMIT_TELEMETRY_API": UNLIMITED,
            **settings,
        }
        self.environment = {**os.environ, "CHURCH_ENV_FILE": "", **own}
        self.settings = load_settings(_env_file=None, **own)
        self.settings.instance.mkdir(parents=True, exist_ok=True)
        self.settings.log_dir.mkdir(parents=True, exist_ok=True)
        migrate(self.settings)
        self.console = folder / "console"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start(*embedded_command(self.settings))
        self._wait_for_store()

    def _wait_for_store(self) -> None:
        deadline = time.monotonic() + 60
        while not StoreClient(self.settings).ping():
            if time.monotonic() > deadline:
                raise TimeoutError("the store did not start")
            time.sleep(0.1)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a process that ends with this instance."""
        with self.console.open("ab") as console:
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=console, stderr=console)
        self._processes.append(process)
        return process

    def stop(self) -> None:
        """End what was started."""
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            process.wait(60)


class Server(Instance):
    """One gunicorn with ``workers`` workers of ``app``."""

    def __init__(self, folder: Path, app: str, workers: int, settings: dict[str, str]) -> None:
        super().__init__(folder, {"WEB_CONCURRENCY": str(workers), **settings})
        self._gunicorn = self.start(sys.executable, "-m", "gunicorn", "-c", "ops/gunicorn.conf.py", app)
        self._wait(workers)

    def _wait(self, workers: int) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.get("/health")
            except OSError:
                time.sleep(0.1)
            else:
                if len(self.workers()) == workers:
                    return
        raise TimeoutError(f"the server on {self.port} did not start")

    def get(self, path: str) -> bytes:
        """The body of a page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            body: bytes = answer.read()
            return body

    def workers(self) -> list[int]:
        """Process ids of the gunicorn workers."""
        found = subprocess.run(["pgrep", "-P", str(self._gunicorn.pid)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def cpu(self) -> float:
        """Seconds of CPU that the workers have spent, all their threads together."""
        return sum(
            int(path.read_text().split()[0]) / 1e9
            for pid in self.workers()
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
        )

    def memory(self) -> int:
        """Resident bytes of the workers."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in self.workers())


@contextmanager
def serving(app: str = "wsgi:app", workers: int = 1, **settings: str) -> Iterator[Server]:
    """A running server that is gone afterwards, with its folders."""
    with tempfile.TemporaryDirectory(prefix="church-bench-") as folder:
        server = Server(Path(folder), app, workers, settings)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def instance(**settings: str) -> Iterator[Instance]:
    """An instance without a server, for a site in this process; gone afterwards, with its folders."""
    with tempfile.TemporaryDirectory(prefix="church-bench-") as folder:
        one = Instance(Path(folder), settings)
        try:
            yield one
        finally:
            one.stop()
