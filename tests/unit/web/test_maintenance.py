"""Maintenance mode: on, off, seen by other processes, and its Retry-After."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.config import Settings
from church.web import maintenance
from tests.support.services_fixture import site_settings


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    return site_settings(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(maintenance.time, "monotonic", lambda: now[0])
    return now


def test_maintenance_is_off_until_it_is_turned_on(site: Settings) -> None:
    assert not maintenance.is_on(site)
    maintenance.turn_on(site)
    assert maintenance.is_on(site)
    maintenance.turn_off(site)
    assert not maintenance.is_on(site)
    maintenance.turn_off(site)


def test_maintenance_of_another_process_is_seen_within_a_second(site: Settings, clock: list[float]) -> None:
    assert not maintenance.is_on(site)
    (site.instance / "maintenance").write_text("{}")
    clock[0] += 0.9
    assert not maintenance.is_on(site), "the file system is asked once a second at most"
    clock[0] += 0.2
    assert maintenance.is_on(site)
    (site.instance / "maintenance").unlink()
    clock[0] += 1.1
    assert not maintenance.is_on(site)


def test_retry_after_is_the_rest_of_the_estimate(site: Settings) -> None:
    maintenance.turn_on(site, minutes=30)
    assert 1790 <= maintenance.retry_after(site) <= 1800


@pytest.mark.parametrize(
    ("content", "expected"), [("", 300), ("{}", 300), ('{"until": null}', 300), ('{"until": 1}', 60)]
)
def test_retry_after_has_a_default_and_a_minimum(site: Settings, content: str, expected: int) -> None:
    maintenance.turn_on(site)
    (site.instance / "maintenance").write_text(content)
    assert maintenance.retry_after(site) == expected


def test_maintenance_of_one_site_leaves_another_on_the_host_open(tmp_path: Path) -> None:
    sites = []
    for name in "ab":
        (tmp_path / name).mkdir()
        sites.append(site_settings(tmp_path / name))
    maintenance.turn_on(sites[0])
    assert [maintenance.is_on(site) for site in sites] == [True, False]
