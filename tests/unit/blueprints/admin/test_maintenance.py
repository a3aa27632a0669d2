"""Closing and opening the site in the admin area."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask

from church.config import Settings
from church.models.base import utc_now
from church.services import maintenance as service
from church.web import maintenance
from tests.support.browsing import list_audit_actions
from tests.support.desk import AdminBrowser

HOSTILE = '"><svg onload=x>{{7*7}}'


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_PATIENCE", 60)


def test_maintenance_is_begun_and_ended_by_forms_and_audited(app: Flask, desk: AdminBrowser) -> None:
    assert "Open the site" not in desk.get("/admin/maintenance").text
    done = desk.send("/admin/maintenance/on", reason=HOSTILE, minutes="30")
    assert (done.status_code, done.headers["Location"]) == (303, "/admin/maintenance")
    closed = app.test_client().get("/")
    assert closed.status_code == 503
    page = desk.get("/admin/maintenance").text
    assert "Open the site" in page
    assert "Not closed on its own" in page
    assert "<svg onload" not in page + closed.text
    site = desk.data("/admin/maintenance")["site"]
    assert (site["reason"], site["by"]) == (HOSTILE, desk.user.ref)
    assert desk.send("/admin/maintenance/off").status_code == 303
    assert app.test_client().get("/").status_code == 200
    assert list_audit_actions(app) == ["maintenance.begun", "maintenance.ended"]


def test_maintenance_form_holds_the_reason_and_the_minutes_left(
    desk: AdminBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown() -> tuple[str, str]:
        page = desk.get("/admin/maintenance").text
        reason, minutes = (re.search(rf'<input[^>]*name="{name}"[^>]*>', page) for name in ("reason", "minutes"))
        assert reason is not None
        assert minutes is not None
        return tuple((re.findall(r'value="([^"]*)"', found[0]) or [""])[0] for found in (reason, minutes))  # type: ignore[return-value]

    desk.send("/admin/maintenance/on", reason="New disks", minutes="30")
    assert shown() == ("New disks", "30")
    now = utc_now()
    for later, left in ((10, "20"), (31, "")):
        monkeypatch.setattr(service, "utc_now", lambda later=later: now + timedelta(minutes=later))
        assert shown() == ("New disks", left)
    monkeypatch.undo()
    desk.send("/admin/maintenance/on", reason="New disks")
    assert shown() == ("New disks", "")


@pytest.mark.parametrize("fields", [{"minutes": "0"}, {"minutes": "soon"}, {"minutes": "1441"}, {"reason": "x" * 201}])
def test_maintenance_with_invalid_fields_is_shown_again(app: Flask, desk: AdminBrowser, fields: dict[str, str]) -> None:
    assert desk.send("/admin/maintenance/on", **fields).status_code == 422
    assert app.test_client().get("/").status_code == 200


def test_every_admin_page_says_that_the_site_is_closed(settings: Settings, desk: AdminBrowser) -> None:
    assert "closed to visitors" not in desk.get("/admin/").text
    maintenance.turn_on(settings)
    assert "This host is closed to visitors" in desk.get("/admin/").text
    desk.send("/admin/maintenance/on")
    assert "The site is closed to visitors" in desk.get("/admin/jobs").text
    assert "Closed on its own" in desk.get("/admin/maintenance").text
