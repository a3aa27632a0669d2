"""Reports of chat messages in the admin area, and how they are settled."""

from __future__ import annotations

import pytest
from flask import Flask

from church.services import chat
from church.services.chat import errors
from church.services.sessions import SignedIn
from tests.support.browsing import list_audit_actions
from tests.support.chat_fixture import speaker
from tests.support.desk import AdminBrowser, call_in_context

HOSTILE = '"><svg onload=x>{{7*7}}</pre>'


@pytest.fixture
def ada(app: Flask) -> SignedIn:
    """A signed-in member who writes in the chat."""
    return speaker(app)


def reported(app: Flask, author: SignedIn, text: str = "rude", reason: str = "") -> int:
    """Report a message. Returns the id of the report."""
    message = call_in_context(app, chat.post_message, author, "public", text, None)
    reporter = speaker(app, f"Reporter{message.id}")
    call_in_context(app, chat.report_message, reporter, "public", message.id, reason)
    return message.id


def test_page_without_reports_says_so(desk: AdminBrowser) -> None:
    for path in ("/admin/live", "/admin/live?state=settled"):
        assert '<p class="empty">' in desk.get(path).text
    assert '<a href="/admin/live" aria-current="page">' in desk.get("/admin/live").text


def test_report_is_shown_escaped_and_can_be_dismissed(app: Flask, desk: AdminBrowser, ada: SignedIn) -> None:
    number = reported(app, ada, HOSTILE, HOSTILE)
    page = desk.get("/admin/live").text
    assert page.count("&#34;&gt;&lt;svg onload=x&gt;{{7*7}}") == 2
    assert "<svg onload" not in page
    assert f'href="/live/public/{number}"' in page
    (report,) = desk.data("/admin/live")["reports"]["rows"]
    assert desk.send(f"/admin/live/reports/{report['id']}/settle").status_code == 303
    assert desk.data("/admin/live")["reports"]["rows"] == []
    assert [row["standing"] for row in desk.data("/admin/live?state=settled")["reports"]["rows"]] == [True]
    assert desk.send("/admin/live/reports/99/settle").status_code == 404


def test_report_is_settled_by_deleting_the_message(app: Flask, desk: AdminBrowser, ada: SignedIn) -> None:
    number = reported(app, ada)
    assert desk.send("/admin/live/reports/1/settle", remove="1").status_code == 303
    with pytest.raises(errors.UnknownMessageError):
        call_in_context(app, chat.load_message, ada, "public", number)
    assert "chat.message_removed" in list_audit_actions(app)
