"""Run a whole site as ``flask church run`` does, of this release or of another checkout, and measure its processes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ops.bench.server import ROOT, UNLIMITED, free_port
from ops.processes import list_children

_PASSWORD = "four quiet boats at anchor"
_EMAIL = "ada@church.example"
_OPEN = ("PAGE", "API", "TELEMETRY_API", "SEARCH", "LOGIN", "LOGIN_ACCOUNT", "REGISTER", "VIDEO", "LIVE")
_START_SECONDS = 600.0
_SETTLE_SECONDS, _QUIET_SECONDS = 300.0, 5
_LAST_CHARACTERS = 4000  # of a console
_QUIET_CPU = 0.04  # seconds of CPU in a second of a site that does nothing


class WholeSite:
    """A site with all its processes, in a folder of its own. ``root`` is the checkout that it runs from."""

    def __init__(self, folder: Path, root: Path = ROOT, settings: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.instance = folder / "instance"
        own = {
            "CHURCH_ENV_FILE": "",
            "CHURCH_BIND": f"127.0.0.1:{self.port}",
            "CHURCH_INSTANCE": str(self.instance),
            "CHURCH_LOG_DIR": str(folder / "logs"),
            "CHURCH_TILL_BIND": f"127.0.0.1:{free_port()}",
            **{f"CHURCH_LIMIT_{name}": UNLIMITED for name in _OPEN},
            **(settings or {}),
        }
        self._root = root
        self._console = folder / "console"
        self._environment = {**os.environ, **own}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the site; return the seconds until its first page. Raises TimeoutError if there is none."""
        python = self._root / ".venv/bin/python"
        command = [str(python) if python.exists() else sys.executable, "-m", "flask", "--app", "wsgi", "church", "run"]
        started = time.monotonic()
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                command, cwd=self._root, env=self._environment, stdout=console, stderr=console
            )
        while time.monotonic() < started + _START_SECONDS and self._process.poll() is None:
            with suppress(OSError):
                self.get("/")
                return time.monotonic() - started
            time.sleep(0.02)
        raise TimeoutError(f"the site in {self._root} did not start")

    def stop(self) -> None:
        """Stop the site, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    def last_lines(self) -> str:
        """Return the end of what the site's processes have written to their console."""
        return self._console.read_text(errors="replace")[-_LAST_CHARACTERS:]

    # -- requests -------------------------------------------------------------------------------------------------

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[bytes, Mapping[str, str]]:
        """Fetch a page; return its body as it was sent, and its headers by their names in lower case."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=dict(headers or {}))
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read(), {name.lower(): value for name, value in answer.headers.items()}

    def sign_in(self) -> str:
        """Register a member with a confirmed address and sign in; return the cookie."""
        self._register("verified_at = created_at")
        cookie = self.post("login", email=_EMAIL, password=_PASSWORD).partition(";")[0]
        kept = self.get("/", {"Cookie": cookie})[1].get("set-cookie")  # the first page adds the token of its forms
        return kept.partition(";")[0] if kept else cookie

    def add_admin(self) -> None:
        """Register a member with a confirmed address and make them an admin."""
        self._register("verified_at = created_at, role = 'admin'")

    def _register(self, change: str) -> None:
        self.post("register", email=_EMAIL, password=_PASSWORD, name="Ada")
        with sqlite3.connect(self.instance / "church.db", timeout=30) as database:
            database.execute(f"UPDATE users SET {change}")

    def post(self, form: str, **fields: str) -> str:
        """Send a form of ``/auth`` as JSON; return the cookie that it sets, if any. Raises HTTPError."""
        return self._send(form, {}, **fields)[1]

    def fetch_access_token(self, cookie: str) -> str:
        """Return an access token of the member with this cookie."""
        return str(json.loads(self._send("token", {"Cookie": cookie})[0])["token"])

    def _send(self, form: str, headers: Mapping[str, str], **fields: str) -> tuple[bytes, str]:
        site = f"http://127.0.0.1:{self.port}"
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Origin": site, **headers}
        request = urllib.request.Request(f"{site}/auth/{form}", json.dumps(fields).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read(), str(answer.headers.get("Set-Cookie", ""))

    # -- its processes --------------------------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """The site's processes by their ids, each with its command line, without the test till; supervisor first."""
        found: dict[int, str] = {}
        waiting = [self._process.pid] if self._process is not None else []
        while waiting:
            pid = waiting.pop(0)
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if "church.till" not in command:
                    found[pid] = command
                    waiting += list_children(pid)
        return found

    def settle(self) -> None:
        """Wait until the site has done what a start leaves for the background: the index, the demo film."""
        ends, quiet = time.monotonic() + _SETTLE_SECONDS, 0
        while quiet < _QUIET_SECONDS and time.monotonic() < ends:
            before = self.cpu()
            time.sleep(1)
            quiet = quiet + 1 if self.cpu() - before < _QUIET_CPU else 0

    def cpu(self) -> float:
        """CPU seconds that the processes and their ended children have used."""
        return sum(cpu_of(pid) for pid in self.processes())

    def memory(self) -> dict[int, float]:
        """Proportional memory (PSS) of each process, in MiB: pages that several share count once in all."""
        return {pid: _pss_of(pid) for pid in self.processes()}


def cpu_of(pid: int) -> float:
    """CPU seconds of the running threads of a process and of its children that have ended; 0 if it has ended itself."""
    with suppress(OSError):
        ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15]
        threads = sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
        return threads / 1e9 + sum(map(int, ended)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _pss_of(pid: int) -> float:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
    return 0.0


@contextmanager
def running(root: Path = ROOT, **settings: str) -> Iterator[WholeSite]:
    """Run a site for a block; it and its folders are removed afterwards. If the block fails, print its last lines."""
    with TemporaryDirectory(prefix="church-bench-") as folder:
        site = WholeSite(Path(folder), root, settings)
        try:
            site.start()
            yield site
        except Exception:
            sys.stderr.write(site.last_lines())
            raise
        finally:
            site.stop()
