"""The doctor's checks on a real site, each broken in one way."""

from __future__ import annotations

import os
import threading
import time
from collections import namedtuple
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert

from church import doctor
from church.config import Settings
from church.database import migrations
from church.database.engines import make_upkeep_engine, sqlite_path
from church.doctor import CheckResult, email, host, run_checks
from church.doctor.host import check_scrapes
from church.models import Job, Product, Schedule, StripeEvent
from church.models.base import utc_now
from church.web import maintenance
from tests.support.databases import bring_to_head
from tests.support.mail_fixture import MailServer
from tests.support.services_fixture import RedisServer, site_settings

_STRONG = "kJ8sd0-2lfPq_nd83mXz0Qpw72hLrt5Yb1VuEg"


@pytest.fixture
def site(
    tmp_path: Path,
    redis_server: RedisServer,
    mail_server: Callable[..., MailServer],
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """A healthy site, and time limits that a busy machine can keep."""
    monkeypatch.setattr(doctor, "CHECK_TIMEOUT", 120.0)
    monkeypatch.setattr(email, "_STEP", 60.0)
    monkeypatch.setattr(email, "_WHOLE", 60.0)
    urls = {"REDIS_URL": redis_server.url, "CHURCH_SMTP_URL": mail_server().url}
    settings = site_settings(tmp_path, SECRET_KEY=_STRONG, CHURCH_STORE_TIMEOUT="10", **urls)
    bring_to_head(settings)
    settings.log_dir.mkdir()
    (settings.content / "page.md").write_text("# Page")
    return settings


def check(settings: Settings, name: str) -> CheckResult:
    return next(found for found in run_checks(settings) if found.name == name)


def add(settings: Settings, table: Any, **values: Any) -> None:
    engine = make_upkeep_engine(settings)
    with engine.begin() as connection:
        connection.execute(insert(table).values(**values))
    engine.dispose()


def add_job(settings: Settings, state: str, run_at: datetime) -> None:
    times = {"run_at": run_at, "created_at": run_at}
    add(settings, Job, kind="test.work", payload={}, state=state, attempts=0, max_attempts=1, **times)


def test_doctor_healthy_site_is_ok(site: Settings) -> None:
    plan = {"plan": "friend", "name": "Friend", "description": "", "features": [], "position": 0, "active": True}
    add(site, Product, stripe_id="prod_1", fetched_at=utc_now(), **plan)
    event = {"type": "product.created", "payload": {}, "state": "processed", "attempts": 1}
    add(site, StripeEvent, stripe_id="evt_1", created_at=utc_now(), received_at=utc_now(), **event)
    found = run_checks(site)
    assert {result.name: result.state for result in found if result.name != "disk"} == dict.fromkeys(
        [
            *("settings", "secrets", "folders", "content", "clock", "database"),
            *("store", "jobs", "mail", "payments", "videos", "metrics", "scrapes", "maintenance"),
        ],
        "ok",
    ), found
    assert all(result.fix == "" for result in found if result.state == "ok")


def test_instance_open_to_other_users_warns(site: Settings) -> None:
    site.instance.chmod(0o750)
    found = check(site, "folders")
    assert (found.state, found.fix) == ("warn", f"chmod 700 {site.instance}")


def test_weak_secret_in_development_warns(site: Settings) -> None:
    weak = site.model_copy(update={"secret_key": type(site.secret_key)("short")})
    found = check(weak, "secrets")
    assert (found.state, "SECRET_KEY" in found.finding) == ("warn", True)
    assert "short" not in found.finding


def test_weak_secret_in_production_fails(site: Settings) -> None:
    weak = site.model_copy(update={"environment": "production"})
    found = check(weak, "secrets")
    assert (found.state, "METRICS_TOKEN missing" in found.finding) == ("fail", True)


def test_production_without_https_warns(site: Settings) -> None:
    assert check(site.model_copy(update={"environment": "production"}), "settings").state == "warn"


def test_database_missing_fails_with_a_fix(site: Settings) -> None:
    sqlite_path(site).unlink()
    found = check(site, "database")
    assert found.state == "fail"
    assert "flask church migrate" in found.fix
    assert not sqlite_path(site).exists()


def test_postgresql_down_fails_without_its_password(site: Settings, tmp_path: Path) -> None:
    down = site_settings(tmp_path, "postgresql://someone:hunter2@127.0.0.1:1/none")
    found = check(down, "database")
    assert found.state == "fail"
    assert "hunter2" not in f"{found}"


def test_database_behind_the_code_fails(site: Settings) -> None:
    migrations.downgrade(site, "base")
    found = check(site, "database")
    assert (found.state, found.fix) == ("fail", "flask church migrate")


def test_database_ahead_of_the_code_fails(site: Settings) -> None:
    engine = make_upkeep_engine(site)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    found = check(site, "database")
    assert (found.state, "does not know" in found.finding) == ("fail", True)


def test_dead_job_warns(site: Settings) -> None:
    add_job(site, "dead", utc_now())
    assert check(site, "jobs").state == "warn"


def test_job_overdue_warns_to_start_the_worker(site: Settings) -> None:
    add_job(site, "pending", utc_now() - timedelta(minutes=1))
    assert check(site, "jobs").state == "ok"
    add_job(site, "pending", utc_now() - timedelta(minutes=10))
    found = check(site, "jobs")
    assert (found.state, "flask church work" in found.fix) == ("warn", True)


def test_schedule_late_warns_to_start_the_worker(site: Settings) -> None:
    add(site, Schedule, kind="test.work", every_seconds=60, next_at=utc_now() - timedelta(minutes=10))
    found = check(site, "jobs")
    assert (found.state, "test.work" in found.finding) == ("warn", True)


def test_store_down_warns(site: Settings, redis_server: RedisServer) -> None:
    redis_server.stop()
    assert check(site, "store").state == "warn"


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


def test_maintenance_on_warns(site: Settings) -> None:
    maintenance.turn_on(site)
    found = check(site, "maintenance")
    assert (found.state, found.fix) == ("warn", "flask church maintenance off")


def test_check_that_raises_is_a_finding(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_settings: Settings) -> doctor.Finding:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(doctor, "check_disk", broken)
    found = check(site, "disk")
    assert (found.state, found.finding) == ("fail", "could not be checked: ZeroDivisionError: oops")


class Impatient(threading.Thread):
    """Applies the timeout to the disk check only; the other checks may take their time."""

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout if self.name == "doctor-disk" else None)


def test_check_that_hangs_is_a_finding_and_others_continue(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()

    def hangs(_settings: Settings) -> doctor.Finding:
        end.wait(60)
        return "ok", "", ""

    monkeypatch.setattr(doctor, "check_disk", hangs)
    monkeypatch.setattr(doctor, "CHECK_TIMEOUT", 0.1)
    monkeypatch.setattr(doctor, "threading", SimpleNamespace(Thread=Impatient))
    found = run_checks(site)
    end.set()
    assert next(result for result in found if result.name == "disk").state == "fail"
    assert next(result for result in found if result.name == "database").state == "ok"
