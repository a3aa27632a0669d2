"""Chat rooms over HTTP: access, escaping, paging, and sending by the form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from church import create_app
from church.config import Settings
from church.models import User
from church.services import chat
from church.services.audit import Actor
from tests.support.browsing import JSON, Browser
from tests.support.chat_pages import HOSTILE, bodies, say
from tests.support.databases import copy_database
from tests.support.desk import add_person, call_in_context
from tests.support.helpers import with_settings

# -- who comes in ---------------------------------------------------------------------------------------------------


@pytest.fixture
def boss(app: Flask) -> User:
    return add_person(app, "boss@church.example", name="Boss", role="admin")


def test_visitor_sees_the_introduction_and_how_to_join(app: Flask) -> None:
    page = app.test_client().get("/live").text
    assert 'href="/auth/register?next=/live"' in page
    assert 'href="/auth/login?next=/live"' in page


def test_unconfirmed_account_sees_how_to_confirm_and_no_room(app: Flask) -> None:
    browser = Browser(app, add_person(app, "new@church.example", verified=False))
    assert "Confirm your email address" in browser.get("/live").text
    assert browser.get("/live/public").status_code == 403
    assert browser.submit("/live/public", {"message": "in"}).status_code == 403


def test_rooms_are_listed_by_access(app: Flask, ada: User, boss: User) -> None:
    member, admin = Browser(app, ada), Browser(app, boss)
    assert member.get("/live").location == "/live/public"
    assert [room["name"] for room in member.get("/live", headers=JSON).json["rooms"]] == ["public"]
    assert [room["name"] for room in admin.get("/live", headers=JSON).json["rooms"]] == ["public", "premium", "admins"]
    assert admin.submit("/live/premium", {"message": "Good evening"}).status_code == 303
    assert "Good evening" in admin.get("/live/premium/1").text  # where the link of a report leads
    assert 'href="/live/admins"' in admin.get("/live/public").text
    for room, status in (("admins", 403), ("premium", 403), ("nowhere", 404)):
        assert member.get(f"/live/{room}").status_code == status
        assert member.submit(f"/live/{room}", {"message": "in"}).status_code == status
        assert member.get(f"/live/{room}/1").status_code == status


def test_member_banned_everywhere_sees_the_ban(app: Flask, ada: User) -> None:
    call_in_context(app, chat.ban_member, ada.ref, None, None, "enough", Actor())
    browser = Browser(app, ada)
    assert "An admin has banned you from the chat" in browser.get("/live").text
    assert browser.get("/live/public").status_code == 403


# -- reading --------------------------------------------------------------------------------------------------------


def test_room_escapes_messages_and_is_not_cached(app: Flask, ada: User, bob: User) -> None:
    say(Browser(app, ada), f"**bold** {HOSTILE}")
    answer = Browser(app, bob).get("/live/public")
    assert "no-store" in answer.headers["Cache-Control"]
    assert "<svg onload" not in answer.text
    assert "{{7*7}}" in answer.text
    assert bodies(answer.text)[0].startswith("<strong>bold</strong> ")
    assert '<div class="log" role="log" aria-label="Messages" tabindex="0"' in answer.text


def test_older_messages_are_paged_by_number_without_gap_or_repetition(settings: Settings, migrated_file: Path) -> None:
    copy_database(migrated_file, settings)
    app = create_app(with_settings(settings, limit_chat="1000/minute", limit_account="1000/minute"))
    browser = Browser(app, add_person(app, "ada@church.example"))
    said = [f"n{number}" for number in range(110)]
    for text in said:
        say(browser, text)
    found: list[str] = []
    query: str | None = ""
    while query is not None:
        page = browser.get(f"/live/public{query}").text
        assert ("data-live" in page) == ("data-composer" in page) == (query == "")
        found = bodies(page) + found
        older = re.search(r'<p class="log-older"><a href="(\?before=\d+)"', page)
        query = older[1] if older else None
    assert found == said
    for wrong in ("-1", "x", "٣", "1" * 19):
        assert browser.get(f"/live/public?before={wrong}").status_code == 400


# -- speaking -------------------------------------------------------------------------------------------------------


def test_form_sent_twice_posts_once(app: Flask, ada: User) -> None:
    browser = Browser(app, ada)
    shown = re.search(r'name="client_id" value="(\w+)"', browser.get("/live/public").text)
    assert shown is not None
    assert say(browser, "hello", client_id=shown[1]) == say(browser, "hello", client_id=shown[1]) == 1
    assert bodies(browser.get("/live/public").text) == ["hello"]
    assert shown[1] not in browser.get("/live/public").text  # the next form has its own client_id


def test_refused_text_stays_in_the_form_with_the_error(app: Flask, ada: User) -> None:
    browser = Browser(app, ada)
    answer = browser.submit("/live/public", {"message": f"{HOSTILE}{'x' * 4000}"})
    assert answer.status_code == 422
    assert "<title>Error: " in answer.text
    assert "at most 4000 characters" in answer.text
    assert "&#34;&gt;&lt;svg onload=x&gt;{{7*7}}&lt;/pre&gt;xxx" in answer.text
    assert browser.submit("/live/public", {"message": " "}).status_code == 422
    assert browser.post_json("/live/public", {"message": 5}).status_code == 400


def test_rate_limited_member_sees_the_wait_and_keeps_the_text(settings: Settings, migrated_file: Path) -> None:
    copy_database(migrated_file, settings)
    app = create_app(with_settings(settings, limit_chat="1/minute"))
    browser = Browser(app, add_person(app, "ada@church.example"))
    say(browser, "first")
    answer = browser.submit("/live/public", {"message": "second", "client_id": "kept"})
    assert answer.status_code == 429
    assert f"Send it again in {answer.headers['Retry-After']} seconds." in answer.text
    assert ">second</textarea>" in answer.text
    assert 'name="client_id" value="kept"' in answer.text
    problem = browser.post_json("/live/public", {"message": "second"}, headers=JSON)
    assert (problem.status_code, problem.content_type) == (429, "application/problem+json")


def test_muted_member_sees_the_reason_instead_of_the_form(app: Flask, ada: User) -> None:
    call_in_context(app, chat.mute_member, ada.ref, "public", None, "enough", Actor())
    browser = Browser(app, ada)
    answer = browser.submit("/live/public", {"message": "but"})
    assert answer.status_code == 403
    assert "An admin has muted you here. You can still read." in answer.text
    assert bodies(browser.get("/live/public").text) == []
