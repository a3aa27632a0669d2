"""One chat message over HTTP: its author edits and deletes it, others report it, programs use JSON."""

from __future__ import annotations

import re

from flask import Flask

from church.models import User
from church.services import chat
from tests.support.browsing import JSON, Browser, follow_redirect
from tests.support.chat_pages import HOSTILE, bodies, say
from tests.support.desk import call_in_context
from tests.support.helpers import captured_log


def test_author_edits_and_deletes_a_message(app: Flask, ada: User) -> None:
    browser = Browser(app, ada)
    address = f"/live/public/{say(browser, 'frist')}"
    page = browser.get(address).text
    assert ">frist</textarea>" in page
    assert f'action="{address}/report"' not in page
    assert browser.submit(f"{address}/edit", {"message": ""}).status_code == 422
    assert "Message saved." in follow_redirect(browser, browser.submit(f"{address}/edit", {"message": "first"}))
    page = browser.get("/live/public").text
    assert bodies(page) == ["first"]
    assert '<span class="message-edited">edited</span>' in page
    assert "Message deleted." in follow_redirect(browser, browser.submit(f"{address}/delete"))
    assert bodies(browser.get("/live/public").text) == []
    assert browser.get(address).status_code == 404


def test_others_can_only_report_a_message(app: Flask, ada: User, bob: User) -> None:
    address = f"/live/public/{say(Browser(app, ada), 'mine')}"
    browser = Browser(app, bob)
    page = browser.get(address).text
    assert [way for way in ("edit", "delete", "report") if f'action="{address}/{way}"' in page] == ["report"]
    assert "/admin/" not in page
    for way in ("edit", "delete"):
        assert browser.submit(f"{address}/{way}", {"message": "yours"}).status_code == 403
    wrong = browser.submit(f"{address}/report", {"reason": "x" * 501})
    assert wrong.status_code == 422
    assert f'action="{address}/report"' in wrong.text
    assert "An admin will review it." in follow_redirect(
        browser, browser.submit(f"{address}/report", {"reason": "rude"})
    )
    assert call_in_context(app, chat.count_open_reports) == 1
    assert bodies(browser.get("/live/public").text) == ["mine"]


def test_menu_of_a_message_opens_the_form_that_its_reader_may_use(app: Flask, ada: User, bob: User) -> None:
    author, other = Browser(app, ada), Browser(app, bob)
    address = f"/live/public/{say(author, 'mine')}"
    menus = [re.findall(rf'href="{address}\?do=(\w+)"', who.get("/live/public").text) for who in (author, other)]
    assert menus == [["edit", "delete"], ["report"]]
    for way in ("edit", "delete"):
        (opened,) = re.findall(
            r"<details[^>]* open>\s*<summary[^>]*>(\w+) message", author.get(f"{address}?do={way}").text
        )
        assert opened.lower() == way
    assert '<details class="confirm" open>' not in author.get(address).text


def test_program_posts_reads_edits_and_deletes_as_json(app: Flask, ada: User, bob: User) -> None:
    browser = Browser(app, ada)
    said = browser.post_json("/live/public", {"message": "*hi*", "client_id": "p-1"}, headers=JSON)
    assert said.status_code == 201
    assert (said.json["id"], said.json["html"], said.json["client_id"]) == (1, "<em>hi</em>", "p-1")
    assert browser.post_json("/live/public/1/edit", {"message": "ho"}, headers=JSON).json["changed"] == 2
    room = browser.get("/live/public", headers=JSON).json
    assert (room["cursor"], room["older"], [message["text"] for message in room["messages"]]) == (2, None, ["ho"])
    assert browser.get("/live/public/1", headers=JSON).json["text"] == "ho"
    assert room["messages"][0]["client_id"] == "p-1"
    for address in ("/live/public", "/live/public/1"):
        assert "p-1" not in Browser(app, bob).get(address, headers=JSON).text
    assert browser.post_json("/live/public/1/delete", headers=JSON).status_code == 200
    assert browser.get("/live/public/1", headers=JSON).status_code == 404


def test_message_is_scanned_and_not_logged(app: Flask, ada: User) -> None:
    browser = Browser(app, ada)
    with captured_log() as sink:
        say(browser, HOSTILE)
        browser.post_json("/live/public", {"message": HOSTILE}, headers=JSON)
        browser.submit("/live/public/1/edit", {"message": f"{HOSTILE}!"})
        browser.submit("/live/public/1/report", {"reason": HOSTILE})
    found = [record for record in sink.records if record["event"] == "security.threat_detected"]
    assert {record["source"] for record in found} == {"form", "json"}
    assert "onload" not in str(sink.records)
