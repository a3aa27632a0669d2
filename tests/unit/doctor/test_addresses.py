"""The doctor looks for addresses that were not cut in time."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest

from church.config import Settings
from church.doctor import addresses
from church.doctor.addresses import check_addresses
from church.services.telemetry_queries import Answer
from tests.support.helpers import with_settings
from tests.support.observatory import log_line

_DAY = 86_400


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Settings:
    """A site with an empty log folder, without a telemetry store."""
    return with_settings(settings, instance=tmp_path / "i", log_dir=tmp_path)


def line(days: float, address: str) -> bytes:
    return log_line(1, time.time() - days * _DAY, ip=address)


def test_addresses_that_are_young_or_cut_are_well(site: Settings) -> None:
    (site.log_dir / "combined.log").write_bytes(line(9, "203.0.113.0") + line(3.5, "203.0.113.7") + b"nonsense")
    (site.log_dir / "combined.log.3.gz").write_bytes(b"no gzip")
    assert check_addresses(site) == ("ok", "cut to their network after 3 days", "")


@pytest.mark.parametrize("name", ["combined.log", "combined.log.2.gz", "traces.log.1"])
def test_whole_address_of_a_log_that_is_too_old_is_found(site: Settings, name: str) -> None:
    data = line(4.1, "203.0.113.7")
    (site.log_dir / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    state, finding, fix = check_addresses(site)
    assert (state, finding) == ("warn", f"whole ones older than 3 days in {name}")
    assert "flask church observe" in fix
    assert "CHURCH_OBSERVATORY on" in check_addresses(with_settings(site, observatory=False))[2]
    assert check_addresses(with_settings(site, observatory_address_days=4))[0] == "ok"


def test_late_files_of_the_store_are_found(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "ask", lambda _settings, _query: Answer([{"uncut_segments": 2}]))
    assert check_addresses(site)[:2] == ("warn", "whole ones older than 3 days in 2 files of the telemetry store")
