"""The doctor's report on a real site that is broken in one way, and checks that raise or hang."""

from __future__ import annotations

import threading
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import insert

from church import doctor
from church.config import Settings
from church.database.engines import make_upkeep_engine
from church.database.maintenance import Announcement, keep_copy, write_row
from church.doctor import run_checks
from church.doctor.brand import check_brand
from church.models import Product, StripeEvent
from church.models.base import utc_now
from church.web import maintenance
from tests.support.doctor import check
from tests.support.pictures import make_jpeg, make_png
from tests.support.services_fixture import RedisServer, site_settings


def add(settings: Settings, table: Any, **values: Any) -> None:
    engine = make_upkeep_engine(settings)
    with engine.begin() as connection:
        connection.execute(insert(table).values(**values))
    engine.dispose()


def test_doctor_healthy_site_is_ok(site: Settings) -> None:
    plan = {"plan": "friend", "name": "Friend", "description": "", "features": [], "position": 0, "active": True}
    add(site, Product, stripe_id="prod_1", fetched_at=utc_now(), **plan)
    event = {"type": "product.created", "payload": {}, "state": "processed", "attempts": 1}
    add(site, StripeEvent, stripe_id="evt_1", created_at=utc_now(), received_at=utc_now(), **event)
    found = run_checks(site)
    assert {result.name: result.state for result in found if result.name != "disk"} == dict.fromkeys(
        [
            *("settings", "secrets", "folders", "content", "pages", "brand", "clock", "database"),
            *("store", "accounts", "jobs", "mail", "payments", "sums", "videos", "logs", "addresses", "metrics"),
            *("scrapes", "observatory", "maintenance"),
        ],
        "ok",
    ), found
    assert all(result.fix == "" for result in found if result.state == "ok")


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


def test_proxies_that_are_everybody_warn_with_a_fix(site: Settings) -> None:
    found = check(site.model_copy(update={"trusted_proxies": (ip_network("::/0"),)}), "settings")
    assert (found.state, "trusts ::/0" in found.finding) == ("warn", True)
    assert found.fix == "CHURCH_TRUSTED_PROXIES: name the addresses of your proxies alone"


def test_store_down_warns(site: Settings, redis_server: RedisServer) -> None:
    redis_server.stop()
    assert check(site, "store").state == "warn"


def test_maintenance_on_warns(site: Settings) -> None:
    maintenance.turn_on(site)
    found = check(site, "maintenance")
    assert (found.state, found.fix) == ("warn", "flask church maintenance off")


def test_maintenance_of_all_hosts_warns_with_and_without_the_database(site: Settings) -> None:
    engine = make_upkeep_engine(site)
    with engine.begin() as connection:
        write_row(connection, Announcement())
    engine.dispose()
    assert check(site, "maintenance").finding == "on, on all hosts: visitors get a 503 page"
    keep_copy(site, Announcement())
    down = site.model_copy(update={"database_url": SecretStr("postgresql://postgres@127.0.0.1:1/none")})
    assert check(down, "maintenance").state == "warn"


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


@pytest.mark.parametrize(
    ("share", "state", "words"),
    [
        (make_jpeg(1200, 630), "ok", "accent #ffee00, shown as #"),
        (make_jpeg(500, 260), "warn", "previews show it small"),
        (make_jpeg(1200, 1200), "warn", "previews crop it"),
        (None, "fail", "there is no such file"),
    ],
)
def test_own_pictures_are_checked_again(tmp_path: Path, share: bytes | None, state: str, words: str) -> None:
    logo, picture = tmp_path / "logo.png", tmp_path / "share.jpg"
    logo.write_bytes(make_png(60, 30))
    picture.write_bytes(share or make_jpeg(1200, 630))
    files = {"CHURCH_LOGO": logo, "CHURCH_SHARE_IMAGE": picture}
    settings = site_settings(tmp_path, CHURCH_ACCENT="#fe0", **files)
    if share is None:
        picture.unlink()
    found, finding, fix = check_brand(settings)
    assert (found, bool(fix)) == (state, state != "ok")
    assert words in finding
