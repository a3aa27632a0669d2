"""``make run``: it serves, restarts what dies, and leaves no process behind, however it is ended."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.environment import SETTINGS_OF_THE_SHELL
from tests.support.log_lines import parse_record
from tests.support.services_fixture import free_port, wait_until
from tests.support.site_fixture import whole_lines

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")


@contextmanager
def copied_terminal(path):
    """A pseudo-terminal; a thread copies what is shown on it to ``path`` until all that write to it have ended."""
    master, slave = os.openpty()

    def copy():
        with os.fdopen(master, "rb", 0) as screen, path.open("wb", 0) as copied, suppress(OSError):
            while shown := screen.read(65_536):
                copied.write(shown)

    path.touch()
    threading.Thread(target=copy, daemon=True).start()
    with os.fdopen(slave, "wb") as terminal:
        yield terminal


class Site:
    """``make run`` over an instance of its own, in a session of its own as in a terminal."""

    def __init__(self, folder, port=None, terminal=False):
        self.folder = folder
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        # Started by make test, it must not take itself for a make within a make.
        strange = ("MAKE", *SETTINGS_OF_THE_SHELL)
        self.environment = {name: value for name, value in os.environ.items() if not any(s in name for s in strange)}
        self.environment.pop("NO_COLOR", None)
        self.environment |= {
            "TERM": "xterm",
            "CHURCH_ENV_FILE": "",
            "CHURCH_BIND": f"127.0.0.1:{self.port}",
            "CHURCH_TILL_BIND": f"127.0.0.1:{free_port()}",  # the port after the site's may be anybody's here
            "CHURCH_INSTANCE": str(folder / "instance"),
            "CHURCH_LOG_DIR": str(folder / "logs"),
            "CHURCH_CONTENT": str(folder / "content"),
            "WEB_CONCURRENCY": "1",
        }
        # Without the film that a new site makes itself: ten seconds of a core at each start.
        shutil.copytree(ROOT / "content", folder / "content", ignore=shutil.ignore_patterns("videos"))
        self.output = folder / "output"
        with copied_terminal(self.output) if terminal else self.output.open("wb") as output:
            self.make = subprocess.Popen(
                ["make", "run"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def answers(self):
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=30) as response:
                return response.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def up(self):
        wait_until(lambda: self.answers() or self.make.poll() is not None, "the site answers", seconds=120)
        assert self.make.poll() is None, self.output.read_text()
        wait_until(self.whole, "store, web, worker and till run")
        return self

    def whole(self):
        """Whether all run; worker and till come last, to leave the start to the pages."""
        commands = " ".join(self.processes().values())
        return all(part in commands for part in ("gunicorn", "church work", "valkey-server", "church.till"))

    def processes(self):
        """Every process of this instance, known by its environment or, where it wrote over that, its title."""
        mark = str(self.folder / "instance").encode()
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if not entry.name.isdigit():
                    continue
                command = (entry / "cmdline").read_bytes()
                if mark in command or mark in (entry / "environ").read_bytes():
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has ended, or is not ours to look at
        return found

    def having(self, part):
        """The processes whose command lines have ``part``, the oldest first."""
        return sorted((pid for pid, command in self.processes().items() if part in command), key=begun_at)

    def only(self, part):
        """The oldest process whose command line has ``part``."""
        return self.having(part)[0]

    def kill(self):
        def none_left():
            for pid in self.processes():
                with suppress(ProcessLookupError):  # it went with another
                    os.kill(pid, signal.SIGKILL)
            self.make.poll()
            return not self.processes()

        wait_until(none_left, "all are killed")
        self.make.wait(timeout=60)

    def gone(self):
        wait_until(lambda: not self.processes(), f"no process is left: {self.processes()}", seconds=120)


def begun_at(pid):
    """When a process began, in ticks since the machine's start: pids begin anew at some number."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return sys.maxsize  # it has ended


@pytest.fixture
def start(tmp_path):
    sites = []

    def begin(name="site", **options):
        folder = tmp_path / name
        folder.mkdir()
        sites.append(Site(folder, **options))
        return sites[-1]

    yield begin
    for site in sites:
        site.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One that runs, for the tests that leave it running: a start is seconds of a core."""
    running = Site(tmp_path_factory.mktemp("running"))
    yield running.up()
    running.kill()


def terminate(site):
    site.make.terminate()


def press_ctrl_c(site):
    os.killpg(site.make.pid, signal.SIGINT)


def kill_make(site):
    site.make.kill()


def kill_the_supervisor(site):
    os.kill(site.only("church run"), signal.SIGKILL)


@pytest.mark.parametrize("end", [press_ctrl_c, kill_make, kill_the_supervisor])
def test_make_run_when_ended_leaves_no_process_and_frees_its_port(start, end):
    left_nothing(start().up(), end)


def left_nothing(site, end):
    end(site)
    site.make.wait(timeout=120)
    site.gone()
    socket.create_server(("127.0.0.1", site.port)).close()


def test_make_run_restarts_each_process_that_dies(site):
    parts = ("church work", "valkey-server", "wsgi:app", "church.till", "church observe")
    wait_until(lambda: all(map(site.having, parts)), "all of them run", seconds=120)
    before = {part: site.having(part) for part in parts}
    log = site.folder / "logs/combined.log"
    begun = len(whole_lines(log))

    def noticed(*names):
        records = [parse_record(line) for line in whole_lines(log)[begun:]]
        ended = {record["message"].split()[0] for record in records if record["event"] == "supervisor.end"}
        return ended == set(names)

    def healed():
        now = {part: set(site.having(part)) for part in parts}
        return all(now[part] and not now[part] & set(before[part]) for part in parts)  # nor gunicorn's orphans

    os.kill(site.only("church work"), signal.SIGKILL)
    wait_until(lambda: noticed("work"), "gunicorn's master notices the end of its worker process", seconds=120)
    wait_until(lambda: site.having("church work"), "the worker process runs again", seconds=120)
    for part in parts[1:]:
        os.kill(before[part][0], signal.SIGKILL)
    wait_until(lambda: noticed("work", "store", "web", "till", "observe"), "each end is noticed", seconds=120)
    wait_until(healed, "all of them run again", seconds=120)
    wait_until(site.answers, "the site answers again", seconds=120)


def test_make_run_keeps_site_and_settings_out_of_its_supervisor(site):
    maps = Path(f"/proc/{site.only('church run')}/maps").read_text()
    assert "libpython" in maps or "python3" in maps
    assert not re.search(r"pydantic_core|_sqlite3|hyperscan|greenlet|_ssl", maps)


def test_make_run_reloads_web_and_worker_process_and_keeps_gunicorn_itself(site):
    master = site.only("wsgi:app")
    before = {part: set(site.having(part)) - {master} for part in ("wsgi:app", "church work")}
    others = {part: site.only(part) for part in ("valkey-server", "church.till")}
    os.kill(site.only("church run"), signal.SIGHUP)

    def renewed():
        now = {part: set(site.having(part)) - {master} for part in before}
        return all(now[part] and not now[part] & before[part] for part in before)

    wait_until(renewed, "both are new", seconds=120)
    assert site.only("wsgi:app") == master
    assert {part: site.only(part) for part in others} == others
    wait_until(site.answers, "the site answers")


def test_make_run_without_an_admin_prints_the_link_on_the_console_alone(site):
    printed = site.output.read_text()
    line = next(line for line in printed.splitlines() if line.startswith("First admin: open "))
    address = line.split()[3]
    with urllib.request.urlopen(address, timeout=60) as page:
        assert page.status == 200
    logged = [path.read_text() for path in (site.folder / "logs").iterdir()]
    assert address.startswith(f"{site.address}/auth/first-admin/")
    assert address.rpartition("/")[2].partition(".")[2] not in "".join(logged)
    assert f"Emails are saved in {site.folder / 'instance/outbox'}" in printed


LINK = "First admin: open "


def test_make_run_prints_the_addresses_again_below_the_log_lines_of_the_start(site):
    wait_until(lambda: site.output.read_text().count(LINK) == 2, "the link is printed again", seconds=120)
    lines = site.output.read_text().splitlines()
    first, again = (number for number, line in enumerate(lines) if line.startswith(LINK))
    assert lines[first - 1 : first + 1] == lines[again - 1 : again + 1]
    assert lines[first - 1].endswith(f": {site.address}")
    assert [line for line in lines[:first] if line.startswith("{")] == []
    records = [parse_record(line) for line in lines[first:again] if line.startswith("{")]
    assert {"store", "web", "work", "till"} <= {record["message"].split()[0] for record in records}


def test_make_run_on_a_terminal_shows_short_lines_instead_of_json(start):
    site = start(terminal=True).up()
    wait_until(lambda: site.output.read_text().count(LINK) == 2, "the link is printed again", seconds=120)
    shown = site.output.read_text().replace("\r\n", "\n")
    assert "{" not in shown
    dim, status = r"\x1b\[2m", r"\x1b\[32m200\x1b\[0m"
    assert re.search(rf"^{dim}\d\d:\d\d:\d\d\x1b\[0m web runs as process \d+$", shown, re.MULTILINE)
    assert re.search(rf"^{dim}\d\d:\d\d:\d\d\x1b\[0m GET /health {status} {dim}<?\d+ ms\x1b\[0m$", shown, re.MULTILINE)


def test_make_run_of_two_instances_side_by_side(site, start):
    left_nothing(start("second").up(), terminate)
    assert site.answers()


def test_make_run_of_an_instance_that_runs_names_its_process(site):
    supervisor = site.only("church run")
    again = subprocess.run(
        ["make", "run"], cwd=ROOT, env=site.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert again.returncode != 0
    assert f"already run by process {supervisor}" in again.stdout + again.stderr
    assert site.answers()


def test_make_run_on_a_taken_port_says_so_and_ends(start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        site = start(port=port)
        assert site.make.wait(timeout=120) != 0
    assert f"cannot listen on 127.0.0.1:{port}" in site.output.read_text()
    site.gone()
