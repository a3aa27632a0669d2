"""The doctor says by which names the site logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.config import Settings
from church.doctor.logs import check_logs
from church.lib.log_scheme import FILE, keep_scheme
from tests.support.helpers import with_settings

PLAIN = '{"timestamp": "t", "level": "INFO", "message": "m"}\n'
OTEL = '{"timestamp": "t", "severity_text": "INFO", "body": "m"}\n'


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Settings:
    """A site that was never started."""
    return with_settings(settings, instance=tmp_path / "i", log_dir=tmp_path / "l", log_fields=None)


def write_log(site: Settings, text: str) -> None:
    """Make ``text`` the log."""
    site.log_dir.mkdir(exist_ok=True)
    (site.log_dir / "combined.log").write_text(text)


def test_new_site_will_log_by_otel_and_nothing_is_kept(site: Settings) -> None:
    assert check_logs(site)[:2] == ("ok", "records have OpenTelemetry's names, chosen at the first start")
    assert not (site.instance / FILE).exists()


def test_site_with_a_past_has_plain_names(site: Settings) -> None:
    write_log(site, PLAIN)
    assert check_logs(site)[:2] == ("ok", "records have plain names, chosen at the first start")


def test_setting_that_processes_do_not_follow_yet_needs_a_restart(site: Settings) -> None:
    keep_scheme(site.instance, site.log_dir)
    write_log(site, OTEL + PLAIN + '{"torn')
    state, finding, fix = check_logs(site)
    assert (state, fix) == ("warn", "restart the site")
    assert finding.endswith("but the last one has plain names")
    write_log(site, PLAIN + OTEL)
    assert check_logs(site)[0] == "ok"
    assert check_logs(with_settings(site, log_fields="plain"))[0] == "warn"


@pytest.mark.parametrize("text", ["", "no json\n", "[1]\n", "\xff"])
def test_log_without_a_record_is_fine(site: Settings, text: str) -> None:
    keep_scheme(site.instance, site.log_dir)
    write_log(site, text)
    assert check_logs(site)[0] == "ok"


def test_paths_of_members_are_named(site: Settings) -> None:
    assert "content/privacy.md has to say it" in check_logs(with_settings(site, log_paths="always"))[1]
