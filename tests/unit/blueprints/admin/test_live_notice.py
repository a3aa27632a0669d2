"""The notice to everyone who has a live page open."""

from __future__ import annotations

from flask import Flask

from church.services import live_broadcast
from tests.support.browsing import list_audit_actions
from tests.support.chat_fixture import published
from tests.support.desk import AdminBrowser

HOSTILE = '"><svg onload=x>{{7*7}}</pre>'


def test_notice_is_sent_to_its_audience_and_audited(app: Flask, desk: AdminBrowser) -> None:
    form = {"title": f"Open house {HOSTILE}", "url": "/pages/welcome", "audience": "members"}
    with app.app_context(), published() as heard:
        assert desk.send("/admin/live/notice", **form).status_code == 303
        wrong = desk.send("/admin/live/notice", **{**form, "url": "https://evil.example"})
    assert wrong.status_code == 422
    assert "<svg onload" not in wrong.text
    ((channel, line),) = heard
    sent = live_broadcast.decode_notice(line)
    assert (channel, sent.audience, sent.kind, sent.url) == ("notices", "members", "notice", "/pages/welcome")
    assert sent.title == form["title"]
    assert list_audit_actions(app) == ["notice.sent"]
