"""Checks of the host: folders, pages, disk space, scrapes and the clock."""

from __future__ import annotations

import os
import time
from collections import namedtuple
from datetime import datetime

import pytest

from church.config import Settings
from church.doctor import host
from church.doctor.host import check_scrapes
from tests.support.doctor import check


def test_instance_open_to_other_users_warns(site: Settings) -> None:
    site.instance.chmod(0o750)
    found = check(site, "folders")
    assert (found.state, found.fix) == ("warn", f"chmod 700 {site.instance}")


def test_file_in_place_of_a_folder_fails(site: Settings) -> None:
    site.log_dir.rmdir()
    site.log_dir.write_text("in the way")
    found = check(site, "folders")
    assert (found.state, str(site.log_dir) in found.finding) == ("fail", True)


def test_content_without_pages_warns_and_without_a_folder_fails(site: Settings) -> None:
    (site.content / "page.md").unlink()
    assert check(site, "content").state == "warn"
    site.content.rmdir()
    assert check(site, "content").state == "fail"


@pytest.mark.parametrize(("free", "state"), [(10, "fail"), (500, "warn"), (5000, "ok")])
def test_disk_low_on_space_is_reported(site: Settings, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(host.shutil, "disk_usage", lambda _path: usage(free * 1024 * 1024))
    assert check(site, "disk").state == state


def test_scrapes_report_the_time_of_the_last_one(site: Settings) -> None:
    real = site.model_copy(update={"environment": "production"})
    never = check_scrapes(real)
    site.metrics_dir.mkdir(parents=True)
    scraped = site.metrics_dir / "scraped"
    scraped.touch()
    just_now = check_scrapes(real)
    os.utime(scraped, (time.time() - 900,) * 2)
    assert never[:2] == ("warn", "/metrics was never scraped")
    assert just_now[0] == "ok"
    assert check_scrapes(real)[:2] == ("warn", "last scraped 15 minutes ago")
    assert check_scrapes(site)[:2] == ("ok", "last scraped 15 minutes ago")


def test_clock_wrong_year_fails(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.time, "gmtime", lambda: datetime(1970, 1, 1).timetuple())
    assert check(site, "clock").state == "fail"


def test_clock_differs_from_the_file_system_warns(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.time, "time", lambda: 0.0)
    assert check(site, "clock").state == "warn"
