"""SIGHUP at gunicorn: new code, templates and settings, with the same master, and no visitor notices."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ops.processes import list_children
from tests.support.databases import bring_to_head
from tests.support.log_lines import parse_record
from tests.support.services_fixture import free_port, site_settings, wait_until

ROOT = Path(__file__).resolve().parents[2]


def lay_out(tree: Path) -> None:
    """Make a copy of the code that can be changed: one module and the templates are files, all else are links."""
    for part in ("wsgi.py", "ops", "static", "content"):
        (tree / part).symlink_to(ROOT / part)
    shutil.copytree(ROOT / "templates", tree / "templates")
    for folder in ("church", "church/lib"):
        (tree / folder).mkdir()
        for entry in (ROOT / folder).iterdir():
            if entry.name not in {"lib", "version.py", "__pycache__"}:
                (tree / folder / entry.name).symlink_to(entry)
    shutil.copy(ROOT / "church/lib/version.py", tree / "church/lib/version.py")


class Gunicorn:
    """gunicorn over a tree of its own, as the systemd unit starts it."""

    def __init__(self, folder: Path, **extra: str) -> None:
        self.tree = folder / "tree"
        self.tree.mkdir()
        lay_out(self.tree)
        settings = site_settings(folder)
        bring_to_head(settings)
        self.port = free_port()
        self.log = settings.log_dir / "combined.log"
        self.settings_file = folder / "settings"
        self.settings_file.write_text("CHURCH_SITE_NAME=Before\n")
        environment = {
            **os.environ,
            "CHURCH_ENV_FILE": str(self.settings_file),
            "CHURCH_BIND": f"127.0.0.1:{self.port}",
            "CHURCH_INSTANCE": str(settings.instance),
            "CHURCH_LOG_DIR": str(settings.log_dir),
            "CHURCH_LIMIT_PAGE": "1000000/minute",
            "CHURCH_LIMIT_TELEMETRY_API": "1000000/minute",
            "WEB_CONCURRENCY": "1",
            **extra,
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "ops/gunicorn.conf.py", "wsgi:app"]
        self.process = subprocess.Popen(command, cwd=self.tree, env=environment)
        wait_until(self.answers, "gunicorn answers", seconds=90)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    def answers(self) -> bool:
        with suppress(OSError):
            return bool(self.get("/health"))
        return False

    def records(self) -> list[dict[str, Any]]:
        return [parse_record(line) for line in self.log.read_text().splitlines() if line.endswith("}")]


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    one = Gunicorn(tmp_path_factory.mktemp("reload"))
    yield one
    one.process.terminate()
    assert one.process.wait(timeout=90) == 0


class Visitors:
    """Asks for a page by new connections, one after the other, and counts those without an answer."""

    def __init__(self, port: int) -> None:
        self.answered = self.failed = 0
        self._port = port
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=60) as answer:
                    self.answered += answer.status == 200
            except OSError:
                self.failed += 1


def begin_sign_in(port: int) -> socket.socket:
    """Send a request but for the end of its body."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\nemail="
    )
    return connection


def test_reload_takes_code_templates_and_settings_and_loses_no_request(gunicorn: Gunicorn) -> None:
    before = set(list_children(gunicorn.process.pid))
    held = begin_sign_in(gunicorn.port)
    version = gunicorn.tree / "church/lib/version.py"
    version.write_text(version.read_text() + '\nVERSION = "99.new"\n')
    page = gunicorn.tree / "templates/auth/login.html"
    page.write_text(page.read_text() + "{# #}<!-- a new template -->")
    gunicorn.settings_file.write_text("CHURCH_SITE_NAME=Afterwards\n")
    with Visitors(gunicorn.port) as visitors:
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: 'version="99.new"' in gunicorn.get("/metrics"), "the new code runs", seconds=90)
        wait_until(lambda: "Afterwards" in gunicorn.get("/"), "the old worker accepts no more")
    held.sendall(b"x@")
    with held.makefile("rb") as answer:
        assert answer.readline().startswith(b"HTTP/1.1 4")  # without a token of the form
    held.close()
    assert gunicorn.process.poll() is None
    assert (visitors.failed, visitors.answered > 0) == (0, True)
    wait_until(lambda: not before & set(list_children(gunicorn.process.pid)), "the old worker has ended")


def test_reload_with_wrong_settings_keeps_the_site_and_says_why(gunicorn: Gunicorn) -> None:
    children = list_children(gunicorn.process.pid)
    gunicorn.settings_file.write_text("CHURCH_MAX_BODY=much\n")
    gunicorn.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("CHURCH_MAX_BODY" in record["message"] for record in gunicorn.records()), "it is logged")
    assert list_children(gunicorn.process.pid) == children
    assert gunicorn.answers()


@pytest.fixture(params=["untraced", "traced"])
def either(request: pytest.FixtureRequest, gunicorn: Gunicorn, tmp_path: Path) -> Iterator[Gunicorn]:
    """A site whose workers take over the app of their master, and one with tracing, where each makes its own."""
    if request.param == "untraced":
        yield gunicorn
        return
    with socket.create_server(("127.0.0.1", 0)) as collector:  # it answers nothing
        address = f"http://127.0.0.1:{collector.getsockname()[1]}"
        one = Gunicorn(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=address)
        try:
            yield one
        finally:
            one.process.terminate()
            one.process.wait(timeout=90)


def test_worker_that_starts_while_the_settings_are_edited_goes_on_with_those_of_the_last_reload(
    either: Gunicorn,
) -> None:
    gunicorn = either
    (worker,) = list_children(gunicorn.process.pid)
    gunicorn.settings_file.write_text("CHURCH_SITE_NAME=Unfinished\nCHURCH_MAX_BODY=mu")
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: list_children(gunicorn.process.pid) not in ([], [worker]), "another worker is there")
    assert "Unfinished" not in gunicorn.get("/")
    assert gunicorn.process.poll() is None


def test_reload_with_code_that_cannot_be_loaded_keeps_the_site_and_says_why(gunicorn: Gunicorn) -> None:
    children = list_children(gunicorn.process.pid)
    gunicorn.settings_file.write_text("CHURCH_SITE_NAME=Afterwards\n")
    version = gunicorn.tree / "church/lib/version.py"
    version.write_text(version.read_text() + "\nVERSION = half_a_checkout\n")
    gunicorn.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("half_a_checkout" in record["message"] for record in gunicorn.records()), "it is logged")
    assert list_children(gunicorn.process.pid) == children
    assert gunicorn.answers()
