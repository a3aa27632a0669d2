"""The process of the telemetry store: it keeps each record of a site once, however it is stopped."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from ops.processes import list_children
from tests.support.helpers import is_alive
from tests.support.log_lines import parse_record
from tests.support.observatory import log_line
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import ROOT, Site, running, whole_lines

# Runs the store with small segments that are written soon.
HARNESS = """
import logging, sys
from church.telemetry_store import follow, store
from church.telemetry_store.observe import Plan, run
logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
store.MOST_ROWS, store.MOST_SECONDS = int(sys.argv[3]), float(sys.argv[4])
sys.exit(run(Plan(sys.argv[1], sys.argv[2], 14, 1 << 30, "127.0.0.1:9", None, "test")))
"""


class Observer:
    """A running process of the store."""

    def __init__(self, folder: Path, logs: Path, rows: int = 200, seconds: float = 0.1) -> None:
        self.store = folder / "observatory"
        self._arguments = [str(folder), str(logs), str(rows), str(seconds)]
        self._console = folder / "observe.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", textwrap.dedent(HARNESS), *self._arguments]
        with self._console.open("ab") as console:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=console, start_new_session=True)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the process by a signal, and wait until its child is gone, too."""
        assert self.process is not None
        children = list_children(self.process.pid)
        self.process.send_signal(number)
        code = self.process.wait(60)
        wait_until(lambda: not any(map(is_alive, children)), "the child of the store ends with it")
        self.process = None
        return code

    def manifest(self) -> dict[str, Any]:
        with suppress(FileNotFoundError):
            return dict(json.loads((self.store / "manifest.json").read_text()))
        return {"segments": {}}

    def sealed(self, table: str = "logs") -> int:
        """How many rows of a table are in segments."""
        return sum(segment[2] for segment in self.manifest()["segments"].get(table, ()))

    def read(self, column: str, table: str = "logs") -> list[Any]:
        """A column of all rows in segments."""
        paths = [str(self.store / "segments" / segment[0]) for segment in self.manifest()["segments"].get(table, ())]
        if not paths:
            return []
        with duckdb.connect(config={"threads": 1}) as connection:
            return [row[0] for row in connection.execute(f"SELECT {column} FROM read_parquet(?)", [paths]).fetchall()]


@contextmanager
def observing(folder: Path, logs: Path, **limits: float) -> Iterator[Observer]:
    """An observer that does not run yet; what runs in the end is stopped."""
    folder.mkdir(exist_ok=True)
    logs.mkdir(exist_ok=True)
    observer = Observer(folder, logs, **limits)  # type: ignore[arg-type]
    try:
        yield observer
    finally:
        if observer.process is not None:
            observer.end(signal.SIGKILL)


class Writer:
    """Writes numbered records to combined.log, and rotates it in all the ways there are."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self._rotated = 0
        self.count = 0

    @property
    def _log(self) -> Path:
        return self._folder / "combined.log"

    def write(self, count: int) -> None:
        for _ in range(count):
            line = log_line(self.count, time.time())
            cut = self._chance.randrange(len(line)) if self._chance.random() < 0.02 else len(line)
            for part in filter(None, (line[:cut], line[cut:])):  # now and then a line comes in two parts
                with self._log.open("ab") as file:
                    file.write(part)
            self.count += 1

    def rotate(self) -> None:
        self._rotated += 1
        target = self._folder / f"combined.log-2026{self._rotated:04}"
        self._chance.choice([self._rename, self._copy, self._compress])(target)

    def _rename(self, target: Path) -> None:
        self._log.rename(target)

    def _copy(self, target: Path) -> None:
        shutil.copy2(self._log, target)
        os.truncate(self._log, 0)

    def _compress(self, target: Path) -> None:
        self._log.rename(target)
        with gzip.open(f"{target}.gz", "wb") as file:
            file.write(target.read_bytes())
        shutil.copystat(target, f"{target}.gz")
        target.unlink()


def test_observe_killed_at_random_keeps_each_record_once(tmp_path: Path, kills: int) -> None:
    chance = random.Random(17)
    writer = Writer(tmp_path / "logs", chance)
    with observing(tmp_path / "instance", tmp_path / "logs") as observer:
        for _ in range(kills):
            sealed = observer.sealed()
            observer.start()
            for _ in range(chance.randint(1, 4)):
                writer.write(chance.randint(1, 300))
                if chance.random() < 0.4:
                    writer.rotate()
            _wait_for_some_moment(chance, observer, sealed)
            observer.end(signal.SIGKILL)
        writer.write(1)  # which only the last process can take
        observer.start()
        wait_until(lambda: observer.sealed() >= writer.count, "all records are in segments")
        assert observer.end() == 0
        numbers = Counter(int(message.split()[1]) for message in observer.read("message"))
    assert {number: count for number, count in numbers.items() if count != 1} == {}
    assert sorted(numbers) == list(range(writer.count))
    assert len(list((observer.store / "segments").iterdir())) >= len(observer.manifest()["segments"]["logs"])


def _wait_for_some_moment(chance: random.Random, observer: Observer, sealed: int) -> None:
    """Wait for a step of the process chosen at random, and then a moment more: the kill may hit any line."""
    segments = observer.store / "segments"
    steps: list[Callable[[], object]] = [
        segments.exists,
        lambda: any(segments.glob("*.part")) or observer.sealed() > sealed,
        lambda: observer.sealed() > sealed,
    ]
    wait_until(chance.choice(steps), "the process takes a step")
    time.sleep(chance.random() * 0.1)


def test_observe_keeps_what_a_site_with_two_workers_logs(tmp_path: Path) -> None:
    with running(tmp_path) as site, observing(site.settings.instance, site.logs) as observer:
        observer.start()
        ids = [_request_id(f"{site.url}/") for _ in range(40)]
        traced = _request_id(f"{site.url}/auth/login")
        wait_until(lambda: set(ids) <= set(observer.read("request_id")), "the records of all requests are in segments")
        wait_until(lambda: traced in observer.read("request_id", "traces"), "the trace is in a segment")
        assert observer.end() == 0
        found = Counter(zip(observer.read("request_id"), observer.read("event"), strict=True))
        routes = set(observer.read("route"))
        spans = dict(zip(observer.read("request_id", "traces"), observer.read("spans", "traces"), strict=True))
    assert {found[request_id, "http.request"] for request_id in ids} == {1}
    assert "/" in routes
    assert json.loads(spans[traced])


def _request_id(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.headers["X-Request-ID"])


def test_observe_and_the_site_killed_keeps_each_line_once(tmp_path: Path, kills: int) -> None:
    """Each round kills the process of the store; every fourth a worker, too, or all of the site."""
    chance = random.Random(18)
    with running(tmp_path) as site, observing(site.settings.instance, site.logs) as observer:
        with _visitors(site):
            for round_ in range(kills):
                sealed = observer.sealed()
                observer.start()
                if round_ % 3 == 0:
                    (site.logs / "combined.log").rename(site.logs / f"combined.log-{round_:08}")
                if round_ % 4 == 1:
                    os.kill(chance.choice(site.worker_pids()), signal.SIGKILL)
                _wait_for_some_moment(chance, observer, sealed)
                if round_ % 4 == 3:
                    site.kill()
                observer.end(signal.SIGKILL)
                if round_ % 4 == 3:
                    site.start()
        site.stop()
        lines = [line for path in site.logs.glob("combined.log*") for line in whole_lines(path)]
        observer.start()
        wait_until(lambda: observer.sealed() >= len(lines), "all lines are in segments")
        assert observer.end() == 0
        kept = Counter(zip(observer.read("request_id"), observer.read("message"), strict=True))
    assert len(lines) > 100
    assert kept == Counter(map(_id_and_message, lines))


@contextmanager
def _visitors(site: Site) -> Iterator[None]:
    """Ask for pages all the time, whatever the answers are."""
    ended = threading.Event()

    def visit() -> None:
        while not ended.is_set():
            with suppress(OSError, http.client.HTTPException):
                _request_id(f"{site.url}/")

    visitors = [threading.Thread(target=visit) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    try:
        yield
    finally:
        ended.set()
        for visitor in visitors:
            visitor.join()


def _id_and_message(line: bytes) -> tuple[str | None, str]:
    record = parse_record(line)
    return record.get("request_id"), record["message"]


def test_observe_second_process_of_an_instance_ends(tmp_path: Path) -> None:
    with observing(tmp_path / "instance", tmp_path / "logs") as observer:
        observer.start()
        wait_until((observer.store / "manifest.json").exists, "the first one runs")
        another = Observer(tmp_path / "instance", tmp_path / "logs")
        another.start()
        assert another.process is not None
        assert another.process.wait(60) == 1
        assert observer.end() == 0


def test_observe_idle_wakes_rarely_and_loads_no_duckdb(tmp_path: Path) -> None:
    with observing(tmp_path / "instance", tmp_path / "logs") as observer:
        observer.start()
        wait_until((observer.store / "manifest.json").exists, "it runs")
        assert observer.process is not None
        assert "duckdb" not in Path(f"/proc/{observer.process.pid}/maps").read_text()
        assert list_children(observer.process.pid) == []
        assert observer.end() == 0


def test_addresses_of_old_records_are_cut_by_the_process(tmp_path: Path) -> None:
    """In its segments, in the log that is written to, and in one that is compressed; no record is doubled or lost."""
    logs, old = tmp_path / "logs", time.time() - 5 * 86_400
    with observing(tmp_path / "instance", logs, rows=50_000) as observer:
        lines = [log_line(number, old, ip=f"203.0.113.{number % 250 + 1}") for number in range(2_000)]
        (logs / "combined.log").write_bytes(
            b"".join(lines[:1_000]) + log_line(9_999, ip="198.51.100.7", moment=time.time())
        )
        (logs / "combined.log.2.gz").write_bytes(gzip.compress(b"".join(lines[1_000:])))
        observer.start()
        wait_until(lambda: observer.sealed() == 2_001, "all is kept")
        wait_until((observer.store / "cut_logs.json").exists, "the logs are cut")
        observer.end()
        observer.start()  # it cuts what the process before has taken
        wait_until(lambda: Counter(observer.read("ip")) == {"203.0.113.0/24": 2_000, "198.51.100.7": 1}, "all are cut")
        observer.end()
        assert sorted(observer.read("message")) == sorted(f"record {number}" for number in [*range(2_000), 9_999])
    for path in logs.iterdir():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found = {parse_record(line)["ip"] for line in data.splitlines()}
        assert found == ({"203.0.113.0"} if path.suffix == ".gz" else {"203.0.113.0", "198.51.100.7"})
