"""Start the site for a benchmark, in its own instance, and read the CPU and memory of its workers."""

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
from ops.processes import list_children

ROOT = Path(__file__).parent.parent.parent
UNLIMITED = "1000000/second"


def free_port() -> int:
    """Find a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Instance:
    """A temporary instance with its own folders, settings, database and store; ``port`` is for the site."""

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
        """Start a process that is stopped with this instance."""
        with self.console.open("ab") as console:
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=console, stderr=console)
        self._processes.append(process)
        return process

    def stop(self) -> None:
        """Stop all processes of this instance."""
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            process.wait(60)


class Server(Instance):
    """An instance with gunicorn, which runs ``app`` in ``workers`` workers."""

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
        """Fetch a page and return its body."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as response:
            body: bytes = response.read()
            return body

    def workers(self) -> list[int]:
        """List the process ids of the gunicorn workers."""
        return list_children(self._gunicorn.pid)

    def cpu(self) -> float:
        """Return the CPU seconds that all threads of the workers have used."""
        return sum(
            int(path.read_text().split()[0]) / 1e9
            for pid in self.workers()
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
        )

    def memory(self) -> int:
        """Return the resident memory of the workers, in bytes."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in self.workers())


@contextmanager
def serving(app: str = "wsgi:app", workers: int = 1, **settings: str) -> Iterator[Server]:
    """Run a server for a block; it and its folders are removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="church-bench-") as folder:
        server = Server(Path(folder), app, workers, settings)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def instance(**settings: str) -> Iterator[Instance]:
    """Create an instance without a server, for a site in this process; it is removed after the block."""
    with tempfile.TemporaryDirectory(prefix="church-bench-") as folder:
        site = Instance(Path(folder), settings)
        try:
            yield site
        finally:
            site.stop()
