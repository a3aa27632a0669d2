"""Chat in the admin area over HTTP: reports and their settlement, sanctions, the notice to everyone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from church.models import User
from church.models.base import utc_now
from church.services import chat, live_broadcast
from church.services.chat import errors
from church.services.sessions import SignedIn
from tests.support.browsing import list_audit_actions
from tests.support.chat_fixture import published, speaker
from tests.support.desk import AdminBrowser, add_person, call_in_context

HOSTILE = '"><svg onload=x>{{7*7}}</pre>'
SANCTION = {"kind": "mute", "room": "all", "lasts": "day", "reason": "shouting"}


@pytest.fixture
def desk(app: Flask) -> AdminBrowser:
    return AdminBrowser(app, add_person(app, "boss@church.example", name="Boss", role="admin"))


@pytest.fixture
def ada(app: Flask) -> SignedIn:
    return speaker(app)


@pytest.fixture
def bob(app: Flask) -> User:
    return add_person(app, "bob@church.example", name="Bob")


def reported(app: Flask, author: SignedIn, text: str = "rude", reason: str = "") -> int:
    """Report a message. Returns the id of the report."""
    message = call_in_context(app, chat.post_message, author, "public", text, None)
    reporter = speaker(app, f"Reporter{message.id}")
    call_in_context(app, chat.report_message, reporter, "public", message.id, reason)
    return message.id


def test_pages_without_reports_or_sanctions_say_so(desk: AdminBrowser) -> None:
    for path in ("/admin/live", "/admin/live?state=settled", "/admin/live/sanctions"):
        assert '<p class="empty">' in desk.get(path).text
    assert desk.get("/admin/live?state=dead").status_code == 400
    assert '<a href="/admin/live" aria-current="page">Chat</a>' in desk.get("/admin/live").text


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


def test_member_is_muted_for_a_day_and_the_mute_is_lifted(app: Flask, desk: AdminBrowser, ada: SignedIn) -> None:
    form = desk.get(f"/admin/live/sanctions?member={ada.ref}&room=public").text
    assert f'value="{ada.ref}"' in form
    assert '<option value="public" selected>' in form
    answer = desk.send("/admin/live/sanctions", member=ada.ref, **SANCTION)
    assert (answer.status_code, answer.location) == (303, "/admin/live/sanctions")
    (given,) = call_in_context(app, chat.list_sanctions)
    assert (given.kind, given.room, given.reason) == ("mute", None, "shouting")
    assert given.until is not None
    assert abs(given.until - utc_now() - timedelta(days=1)) < timedelta(minutes=1)
    with pytest.raises(chat.MutedError):
        call_in_context(app, chat.post_message, ada, "public", "but", None)
    assert desk.send(f"/admin/live/sanctions/{given.id}/lift").status_code == 303
    assert desk.send(f"/admin/live/sanctions/{given.id}/lift").status_code == 409
    call_in_context(app, chat.post_message, ada, "public", "thanks", None)


def test_ban_of_one_room_lasts_until_it_is_lifted(app: Flask, desk: AdminBrowser, ada: SignedIn) -> None:
    sent = {**SANCTION, "kind": "ban", "room": "public", "lasts": "lifted"}
    assert desk.tell("/admin/live/sanctions", {"member": ada.ref, **sent}).json["sanction"] == 1
    (given,) = desk.data("/admin/live/sanctions")["sanctions"]
    assert (given["kind"], given["room"], given["until"]) == ("ban", "public", None)
    with pytest.raises(errors.BannedError):
        call_in_context(app, chat.load_page, ada, "public")


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"kind": "hang"}, 422),
        ({"lasts": "aeon"}, 422),
        ({"reason": ""}, 422),
        ({"room": "nowhere"}, 404),
        ({"member": "0" * 16}, 404),
        ({"member": "boss"}, 409),
    ],
)
def test_invalid_sanction_shows_the_form_with_the_reason(
    app: Flask, desk: AdminBrowser, ada: SignedIn, wrong: dict[str, str], status: int
) -> None:
    sent = {"member": ada.ref, **SANCTION, **wrong}
    sent["member"] = desk.user.ref if sent["member"] == "boss" else sent["member"]
    answer = desk.send("/admin/live/sanctions", **sent)
    assert answer.status_code == status
    assert 'class="form-errors"' in answer.text
    assert '<details class="confirm" open>' in answer.text
    assert f'value="{sent["member"]}"' in answer.text
    assert call_in_context(app, chat.list_sanctions) == []


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
