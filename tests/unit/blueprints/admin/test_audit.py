"""The audit log in the admin area."""

from __future__ import annotations

import re

from flask import Flask

from church.extensions import db
from church.models.accounts import User
from church.services import audit
from church.services.accounts import members
from church.services.audit import Actor
from tests.support.desk import JSON, AdminBrowser, call_in_context
from tests.support.people import sign_in


def test_audit_log_is_filtered_by_action_and_member(desk: AdminBrowser, app: Flask, ada: User) -> None:
    sign_in(app, desk.user)
    call_in_context(app, members.end_sessions, desk.user.ref, Actor(via="cli"))
    desk = AdminBrowser(app, desk.user)
    call_in_context(app, members.disable_account, ada.ref, Actor(desk.user.id))
    call_in_context(app, members.enable_account, ada.ref, Actor(desk.user.id))

    def actions(query: str) -> list[str]:
        found = desk.get(f"/admin/audit?{query}", **JSON).json["entries"]["rows"]  # type: ignore[index]
        return [entry["action"] for entry in found]

    assert actions("") == ["member.enabled", "member.disabled", "member.sessions_ended"]
    assert actions("action=member.disabled") == ["member.disabled"]
    assert actions(f"member={ada.ref}") == ["member.enabled", "member.disabled"]
    assert actions(f"member={ada.ref}&action=member.sessions_ended") == []
    assert "<option selected>member.enabled</option>" in desk.get("/admin/audit?action=member.enabled").text


def test_audit_details_are_in_plain_words(desk: AdminBrowser, app: Flask) -> None:
    def write() -> None:
        with db.write() as session:
            detail = {
                "fields": ["title", "access"],
                "reason": None,
                "removed": True,
                "due_at": "2026-12-01T10:30:00+00:00",
            }
            audit.record_by(session, "video.edited", Actor(desk.user.id), None, **detail)

    call_in_context(app, write)
    facts = re.findall(r'<span class="fact">([^<]*)</span>', desk.get("/admin/audit").text)
    assert sorted(facts) == ["due at: 2026-12-01 10:30 UTC", "fields: title, access", "reason: none", "removed: yes"]
