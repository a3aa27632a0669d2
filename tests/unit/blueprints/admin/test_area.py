"""The admin area as a whole: who may open it, its navigation, and its headers."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from church.blueprints.admin.area import Group
from church.blueprints.admin.live import ReportState
from church.models.accounts import User
from church.models.billing import EventState, SubscriptionStatus
from church.models.chat import SanctionKind
from church.models.dora import DeploymentStatus, Severity
from church.models.jobs import JobState, MailState
from church.models.videos import VideoState
from church.observability.metrics import definitions
from church.services.accounts import MemberState
from church.services.billing import GrantState
from tests.support.desk import JSON, AdminBrowser, add_person
from tests.support.helpers import grows
from tests.support.people import client_of

LISTS = [
    "/admin/",
    "/admin/members",
    "/admin/jobs",
    "/admin/mails",
    "/admin/audit",
    "/admin/health",
    "/admin/settings",
    "/admin/metrics",
    "/admin/security",
    "/admin/logs",
    "/admin/traces",
    "/admin/errors",
    "/admin/vitals",
    "/admin/request/01a22ebf971025719a3fbd31",
]


@pytest.mark.parametrize("path", LISTS)
def test_admin_area_is_closed_to_all_but_admins(app: Flask, ada: User, path: str) -> None:
    assert app.test_client().get(path).headers["Location"].startswith("/auth/login?next=%2Fadmin%2F")
    assert app.test_client().get(path, headers=JSON).status_code == 401
    with grows(definitions.security_events.labels("role_probe", "medium")):
        assert client_of(app, ada).get(path).status_code == 403
    unverified = add_person(app, "new@church.example", role="admin", verified=False)
    assert client_of(app, unverified).get(path).status_code == 403


@pytest.mark.parametrize("path", LISTS)
def test_every_page_is_shown_to_admins_and_not_stored(desk: AdminBrowser, path: str) -> None:
    for headers in ({}, JSON):
        found = desk.get(path, **headers)
        assert found.status_code == 200
        assert {"private", "no-store"} <= set(found.headers["Cache-Control"].split(", "))
        assert {"Accept", "Cookie"} <= {name.strip() for name in found.headers["Vary"].split(",")}


def test_menu_lists_every_section_in_its_group_and_marks_the_current_one(desk: AdminBrowser) -> None:
    page = desk.get("/admin/jobs").text
    menu = page.split('<nav class="desk-side"')[1].split("</nav>")[0]
    groups = {part.split("<")[0].split(">")[1]: part for part in menu.split('<h2 class="desk-group"')[1:]}
    titles = {group: re.findall(r"<li><a [^>]*>([\w ]+)</a></li>", part) for group, part in groups.items()}
    assert list(titles) == [group.value for group in Group if group.value in titles]
    assert titles["Site"] == ["Overview", "Members", "Money", "Content", "Live"]
    assert titles["System"] == ["Health", "Jobs", "Emails", "Delivery", "Audit", "Settings", "Maintenance"]
    assert re.findall(r'<a href="([\w/]+)"[^>]* aria-current="page">', menu) == ["/admin/jobs"]


def test_menu_links_lead_to_pages(desk: AdminBrowser) -> None:
    menu = desk.get("/admin/").text.split('<nav class="desk-side"')[1].split("</nav>")[0]
    for path in re.findall(r'<li><a href="([\w/]+)"', menu):
        assert desk.get(path).status_code == 200, path


def test_error_page_below_the_admin_area_keeps_its_menu(desk: AdminBrowser, app: Flask, ada: User) -> None:
    lost = desk.get("/admin/members/nobody")
    assert lost.status_code == 404
    assert re.search(r'<a href="/admin/members"[^>]* aria-current="true">Members</a>', lost.text)
    assert "Admin area" not in desk.get("/pages/nowhere").text
    assert "Admin area" not in client_of(app, ada).get("/admin/members/nobody").text


_OF = {
    "account": MemberState,
    "deployment": DeploymentStatus,
    "email": MailState,
    "event": EventState,
    "grant": GrantState,
    "job": JobState,
    "report": ReportState,
    "sanction": SanctionKind,
    "severity": Severity,
    "subscription": SubscriptionStatus,
    "video": VideoState,
}
_NEUTRAL = {
    "canceled", "deleted", "ended", "ignored", "incomplete_expired", "info", "pending", "queued", "received", "revoked",
    "running", "working",
}  # fmt: skip


@pytest.mark.parametrize("of", _OF)
def test_every_state_has_a_badge_with_its_own_shape(app: Flask, of: str) -> None:
    macros = app.jinja_env.get_template("_macros/states.html").module
    for state in _OF[of]:
        badge = str(macros.state_badge(state, of))  # type: ignore[attr-defined]
        ((kind, shape),) = re.findall(r'class="state state-(\w+)"><svg class="icon icon-(\w+)"', badge)
        assert kind == shape
        assert (kind == "neutral") == (state in _NEUTRAL), state
        assert badge.endswith(f"{state.replace('_', ' ')}</span>")
