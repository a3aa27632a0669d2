"""Once a day, addresses that are older than a few days are cut, in segments and in logs."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from church.telemetry_store.address_cutter import AGAIN, EVERY
from church.telemetry_store.follow import Follower
from church.telemetry_store.ingest import Ingest, Limits
from church.telemetry_store.segments import read_segments
from church.telemetry_store.store import MOST_SECONDS, Store
from tests.support.clock import Clock
from tests.support.observatory import DAY, EngineHere, log_line


class Desk:
    """An ingest with a log of addresses."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.engine = Clock(DAY), EngineHere()
        self.log = folder / "combined.log"
        self.store = Store(folder / "observatory", self.clock)
        follower = Follower(folder, self.store.files, clock=self.clock)
        self.ingest = Ingest(self.store, follower, self.engine, "host-1", Limits(14, 1 << 30, 3), self.clock)

    def write(self, *addresses: str | None) -> None:
        with self.log.open("ab") as file:
            file.writelines(log_line(1, self.clock.now, **({"ip": ip} if ip else {})) for ip in addresses)

    def step(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.ingest.step()

    def seal(self) -> None:
        self.step()
        self.step(MOST_SECONDS)

    def kept(self) -> list[str | None]:
        paths = [segment.path for segment in self.store.snapshot("logs").segments]
        with duckdb.connect() as connection:
            return [
                ip for (ip,) in connection.execute(f"SELECT ip FROM {read_segments(paths)} ORDER BY seq").fetchall()
            ]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_addresses_older_than_three_days_become_networks(desk: Desk) -> None:
    desk.write("203.0.113.1", "2001:db8:1:2::3", None, "unknown")
    desk.seal()
    for _ in range(2):
        desk.step(EVERY)
    assert desk.kept() == ["203.0.113.1", "2001:db8:1:2::3", None, "unknown"]
    desk.write("198.51.100.4")
    desk.seal()
    desk.step(EVERY - MOST_SECONDS)
    assert desk.kept() == ["203.0.113.0/24", "2001:db8:1::/48", None, "unknown", "198.51.100.4"]
    lines = [json.loads(line).get("ip") for line in desk.log.read_bytes().splitlines()]
    assert lines == ["203.0.113.0", "2001:db8:1::", None, "unknown", "198.51.100.4"]
    desk.step()
    assert desk.store.describe()["tables"]["logs"]["rows"] == 5


def test_segment_is_cut_once(desk: Desk) -> None:
    desk.write("203.0.113.1")
    desk.seal()
    for _ in range(8):
        desk.step(EVERY)
    assert desk.engine.tasks.count("cut") == 1


def test_segment_with_young_rows_is_cut_up_to_them(desk: Desk) -> None:
    desk.write("203.0.113.1")
    desk.clock.now += 2 * EVERY
    desk.write("203.0.113.2")
    desk.seal()
    desk.step(EVERY)
    desk.step(EVERY)
    assert desk.kept() == ["203.0.113.0/24", "203.0.113.2"]
    desk.step(EVERY)
    desk.step(EVERY)
    assert desk.kept() == ["203.0.113.0/24", "203.0.113.0/24"]


def test_failed_run_is_tried_again_and_late_segments_are_counted(desk: Desk) -> None:
    desk.write("203.0.113.1")
    desk.seal()
    desk.engine.error = OSError("no engine")
    for _ in range(5):
        desk.step(EVERY)
    assert desk.ingest.describe()["uncut_segments"] == 1
    desk.engine.error = None
    desk.step(AGAIN)
    assert desk.ingest.describe()["uncut_segments"] == 0
    assert desk.kept() == ["203.0.113.0/24"]
