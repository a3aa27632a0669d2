"""Checks of the host: folders, pages, disk space, scrapes and the clock."""

from __future__ import annotations

import os
import time
from collections import namedtuple
from datetime import datetime
from pathlib import Path

import pytest

from church.config import Settings
from church.doctor import host
from church.doctor.host import check_content, check_scrapes
from tests.support.doctor import check
from tests.support.pages_fixture import write_page
from tests.support.services_fixture import site_settings


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


def test_content_with_files_left_out_warns_with_file_and_reason(tmp_path: Path) -> None:
    site = site_settings(tmp_path)
    write_page(site.content, "page")
    write_page(site.content, "soon", date="2999-01-01")
    write_page(site.content, "idea", draft="true")
    assert check_content(site) == ("ok", "1 page, 1 to come, 1 in draft", "")
    write_page(site.content, "hidden", published="false")
    for number in range(10):
        write_page(site.content, f"twice{number}", access="premium", Access="public")
    state, finding, _ = check_content(site)
    assert state == "warn"
    assert "11 left out: hidden.md: published: false hides nothing on this site" in finding
    assert "twice8.md: front matter: `access` and `Access` are the same name" in finding
    assert "and 1 more" in finding
    assert "twice9.md" not in finding


def test_many_pages_are_counted_as_their_list_does(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    report = namedtuple("report", "pages to_come drafts problems")(20_000, 0, 0, ())
    monkeypatch.setattr(host, "check_folder", lambda _settings: report)
    assert check_content(site) == ("ok", "20,000 pages", "")


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
