"""Chat in several browser windows: live messages, reconnecting, errors, notices, and use without scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from playwright.sync_api import Browser, Locator, Page, WebSocket, expect

from church import create_app
from church.models import User
from church.services import chat, sessions
from church.services.audit import Actor
from church.services.chat import moderation
from church.services.sessions import SignedIn
from tests.browser.conftest import Windows, make_site
from tests.browser.people import Accounts, expect_flash, expect_heading
from tests.browser.watch import LOOKS, find_axe_violations
from tests.support.people import add_user, client_of, sign_in
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import ROOT, Site

SCHEMA = json.loads((ROOT / "docs/live.schema.json").read_text())
ROOM = "/live/public"


class Hall:
    """A site that the test may stop and restart, and its members."""

    def __init__(self, chromium: Browser, site: Site) -> None:
        self.site = site
        self.app: Flask = create_app(site.settings)
        self.windows = Windows(chromium, site)
        self.frames: list[tuple[str, str | bytes]] = []
        self._tokens: dict[int, str] = {}

    def member(self, name: str, role: str = "member") -> User:
        return add_user(self.app, f"{name.lower()}@example.org", name=name, role=role, password_hash="x")

    def window(self, user: User, path: str = ROOM) -> Page:
        """Open a window of a signed-in member, in a connected room."""
        self._tokens[user.id] = sign_in(self.app, user)
        cookie = client_of(self.app, user).get_cookie("church")
        assert cookie is not None
        page = self.windows()
        page.on("websocket", self._listen)
        page.context.add_cookies([{"name": "church", "value": cookie.value, "url": self.site.url}])
        page.goto(path)
        return page

    def _listen(self, line: WebSocket) -> None:
        line.on("framesent", lambda payload: self.frames.append(("client", payload)))
        line.on("framereceived", lambda payload: self.frames.append(("server", payload)))

    def misfits(self) -> list[str]:
        """Check the frames so far against docs/live.schema.json and clear them; the errors."""
        ends = {
            end: Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": f"#/$defs/{end}"}]}) for end in ("client", "server")
        }
        found = [(text, error) for end, text in self.frames for error in ends[end].iter_errors(json.loads(text))]
        self.frames.clear()
        return [f"{text!r}: {error.message}" for text, error in found]

    def say(self, user: User, text: str) -> chat.MessageView:
        """Post as the user from this process, whether the site is running or not."""
        with self.app.app_context():
            return chat.post_message(self.signed_in(user), "public", text, None)

    def signed_in(self, user: User) -> SignedIn:
        with self.app.app_context():
            found = sessions.load(self._tokens.setdefault(user.id, sign_in(self.app, user)))
        assert found is not None
        return found

    def away(self) -> None:
        """Stop the web server as a restart does."""
        self.site.gunicorn.terminate()
        self.site.gunicorn.wait(90)  # it gives its workers 30 s

    def back(self) -> None:
        self.site.start(store=False)


SOON_AWAY = {"GUNICORN_CMD_ARGS": "--keep-alive=1"}
"""A worker that ends waits as long for the idle connections of a browser, usually 5 s."""


@pytest.fixture(scope="module")
def hall(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    site = make_site(tmp_path_factory.mktemp("hall"), CHURCH_LIMIT_CHAT="5/hour", WEB_CONCURRENCY="2", **SOON_AWAY)
    try:
        site.start()
        made = Hall(chromium, site)
        yield made
        made.windows.close()
    finally:
        site.stop()


@pytest.fixture(autouse=True)
def _quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Afterwards: no console errors except for the intended outage, valid frames, no open window."""
    yield
    if "hall" not in request.fixturenames:
        return
    hall: Hall = request.getfixturevalue("hall")
    windows = hall.windows
    windows.close()
    complaints = [one for one in windows.complaints if "WebSocket connection to" not in one]
    windows.opened.clear()
    assert complaints == []
    assert hall.misfits() == []


def is_live(page: Page) -> None:
    expect(page.locator("[data-state]")).to_have_text("Connected.")


def messages(page: Page) -> Locator:
    return page.locator("[data-messages] .message-body")


def write(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def _here_are(page: Page, count: int) -> None:
    """Wait for presence: workers publish it at once, and again every ten seconds in case the store lost it."""
    expect(page.get_by_role("heading", name="Here now")).to_have_text(f"Here now {count}")


def test_two_windows_talk(hall: Hall) -> None:
    ada, bob = hall.window(hall.member("Ada")), hall.window(hall.member("Bob"))
    is_live(ada)
    is_live(bob)
    for page in (ada, bob):
        _here_are(page, 2)
        expect(page.locator("[data-people-list]")).to_contain_text("Ada")

    def seen_to_write() -> bool:  # repeated while typing goes on, and cleared some seconds later
        ada.get_by_label("Your message").press_sequentially("Is **anybody**")
        return bob.locator("[data-typing]").inner_text() == "Ada is writing…"

    wait_until(seen_to_write, "Bob sees that Ada writes")
    write(ada, "Is **anybody** here? <b>you</b>")
    expect(messages(bob)).to_have_text(["Is anybody here? <b>you</b>"])
    expect(bob.locator("[data-typing]")).to_be_empty()
    expect(messages(bob).locator("strong")).to_have_text("anybody")
    write(bob, "I am.")
    kinds = {json.loads(text)["type"] for end, text in hall.frames if end == "server"}
    assert kinds - {"pong"} == {"welcome", "auth_success", "room_joined", "presence", "typing", "chat"}
    for page in (ada, bob):
        expect(messages(page)).to_have_text(["Is anybody here? <b>you</b>", "I am."])
        expect(page.locator(".message-fate")).to_have_count(0)
    expect(ada.get_by_role("log", name="Messages")).to_contain_text("I am.")
    expect(ada.get_by_label("Your message")).to_be_focused()
    for width, scheme in LOOKS:
        ada.set_viewport_size({"width": width, "height": 844})
        ada.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert find_axe_violations(ada) == [], (width, scheme)
        expect(ada.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)
        expect(ada.get_by_role("log", name="Messages")).to_be_in_viewport(ratio=1)

    bob.context.close()
    ada.get_by_role("button", name="About this room").click()  # narrow windows have it behind a button
    _here_are(ada, 1)


def test_edit_and_deletion_appear_in_place(hall: Hall) -> None:
    author = hall.member("Author")
    first, second = hall.say(author, "frist"), hall.say(author, "to be gone")
    page = hall.window(hall.member("Reader"))
    is_live(page)
    before = messages(page).count()
    with hall.app.app_context():
        chat.edit_message(hall.signed_in(author), "public", first.id, "first")
        moderation.delete_as_admin("public", second.id, Actor())
    expect(page.locator(f"#m{first.id}")).to_contain_text("first")
    expect(page.locator(f"#m{first.id} .message-edited")).to_be_visible()
    expect(page.locator(f"#m{second.id} .message-body")).to_have_text("This message was deleted.")
    assert messages(page).count() == before
    page.locator(f"#m{first.id} summary").press("Enter")
    report = page.locator(f"#m{first.id}").get_by_role("link", name="Report")
    report.press("Escape")
    expect(report).to_be_hidden()
    expect(page.locator(f"#m{first.id} summary")).to_be_focused()
    expect(page.locator(f"#m{second.id} .message-menu")).to_have_count(0)


def test_reconnect_after_an_outage_misses_and_doubles_nothing(hall: Hall) -> None:
    reader, other = hall.member("Waiting"), hall.member("Elsewhere")
    page = hall.window(reader)
    is_live(page)
    hall.say(other, "before")
    expect(messages(page).last).to_have_text("before")
    known = messages(page).count()

    hall.away()
    expect(page.locator("[data-state]")).to_contain_text("Connection lost.")
    write(page, "while you were away")
    expect(page.locator(".message-waiting .message-fate")).to_have_text("Sending…")
    hall.say(other, "missed one")
    hall.say(other, "missed two")

    hall.back()
    page.evaluate("dispatchEvent(new Event('online'))")  # otherwise it waits for its next try
    expect(page.locator("[data-state]")).to_have_text("Connected.", timeout=120_000)
    expect(page.locator(".message-waiting")).to_have_count(0)
    expect(messages(page)).to_have_count(known + 3)
    assert messages(page).all_inner_texts()[known:] == ["missed one", "missed two", "while you were away"]
    page.reload()
    is_live(page)
    assert messages(page).all_inner_texts()[-3:] == ["missed one", "missed two", "while you were away"]


def test_refused_message_shows_why_and_can_be_discarded(hall: Hall) -> None:
    user = hall.member("Loud")
    page = hall.window(user)
    is_live(page)
    with hall.app.app_context():
        number = chat.mute_member(user.ref, None, None, "enough", Actor())
    write(page, "but I")
    failed = page.locator(".message-failed")
    expect(failed).to_contain_text("Not sent. An admin has muted you here.")
    assert find_axe_violations(page) == []
    with hall.app.app_context():
        chat.lift_sanction(number, Actor())
    failed.get_by_role("button", name="Try again").click()
    expect(page.locator(".message-failed, .message-waiting")).to_have_count(0)  # it has arrived
    expect(messages(page).last).to_have_text("but I")

    with hall.app.app_context():
        chat.mute_member(user.ref, None, None, "enough", Actor())
    write(page, "and then")
    failed.get_by_role("button", name="Discard").click()
    expect(failed).to_have_count(0)
    expect(page.get_by_label("Your message")).to_have_value("and then")


def test_rate_limited_member_sees_a_countdown(hall: Hall) -> None:
    page = hall.window(hall.member("Quick"))
    is_live(page)
    for number in range(6):
        write(page, f"word {number}")
    expect(page.get_by_role("button", name=re.compile(r"^Wait \d+ s$"))).to_be_disabled()
    expect(page.locator(".message-failed")).to_contain_text("Not sent. Too many messages.")
    write(page, "kept")
    expect(page.get_by_label("Your message")).to_have_value("kept")


def test_reader_of_old_messages_keeps_the_place_and_sees_that_there_are_new_ones(hall: Hall) -> None:
    speakers = [hall.member(f"Speaker{number}") for number in range(13)]
    for number in range(60):
        hall.say(speakers[number % 12], f"line {number}\n\n\nof several")
    page = hall.window(hall.member("Historian"))
    is_live(page)
    log = page.get_by_role("log")
    expect(messages(page).last).to_be_in_viewport()  # a room opens at its end
    page.get_by_role("link", name="Older messages").click()
    wait_until(lambda: messages(page).count() >= 60, "older messages stand above")
    numbers = page.locator("[data-messages] > li").evaluate_all("items => items.map(item => Number(item.dataset.id))")
    assert numbers == sorted(set(numbers))

    log.evaluate("box => box.scrollTo(0, -box.scrollHeight / 2)")
    line = messages(page).nth(len(numbers) // 2)
    place = line.bounding_box()
    hall.say(speakers[12], "news")
    pill = page.get_by_role("button", name="1 new message")
    expect(pill).to_be_visible()
    assert place is not None
    assert (now := line.bounding_box()) is not None
    assert abs(now["y"] - place["y"]) < 2
    assert find_axe_violations(page) == []
    pill.click()
    expect(messages(page).last).to_be_in_viewport()
    expect(page.locator("[data-pill]")).to_be_hidden()


def test_page_after_sign_out_elsewhere_says_so_and_does_not_reconnect(hall: Hall) -> None:
    user = hall.member("Leaver")
    page = hall.window(user)
    is_live(page)
    tab = page.context.new_page()
    tab.goto("/")
    tab.get_by_role("button", name="Sign out").click()
    expect(page.locator("[data-state]")).to_have_text("You are signed out. Sign in again, then reload the page.")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()


def test_admin_notice_appears_at_once_and_can_be_dismissed(hall: Hall) -> None:
    page, desk = hall.window(hall.member("Guest")), hall.window(hall.member("Chief", "admin"), "/admin/live/notice")
    is_live(page)
    desk.get_by_label("Message").fill("Open house <b>tonight</b>")
    desk.get_by_label("Link").fill("/pages/terms")
    desk.get_by_role("button", name="Send notice").click()
    notice = page.locator("[data-notices] .flash")
    expect(notice.get_by_role("link", name="Open house <b>tonight</b>")).to_have_attribute("href", "/pages/terms")
    assert find_axe_violations(page) == []
    notice.get_by_role("button", name="Dismiss").click()
    expect(notice).to_have_count(0)


def test_chat_report_and_moderation_work_without_scripts(windows: Windows, cast: Accounts) -> None:
    def plain(role: str, path: str) -> Page:
        return windows(path, java_script_enabled=False, storage_state=cast.signed_in(role))

    member = plain("member", ROOM)
    member.get_by_label("Your message").fill("A word **without** scripts")
    member.get_by_role("button", name="Send").click()
    expect(messages(member).last).to_have_text("A word without scripts")
    expect(messages(member).last).to_be_in_viewport()
    expect(member.get_by_text("Reload the page to see new messages.")).to_be_visible()
    member.locator(".message-menu summary").last.click()
    member.get_by_role("link", name="Edit").click()
    expect_heading(member, "Message in Public")
    member.get_by_label("Your message").fill("Other words")
    member.get_by_role("button", name="Save message").click()
    expect_flash(member, "Message saved.")
    expect(messages(member).last).to_have_text("Other words")

    admin = plain("admin", ROOM)
    admin.locator(".message-menu summary").last.click()
    admin.get_by_role("link", name="Report").click()
    admin.get_by_label("What is wrong?").fill("too plain")
    admin.get_by_role("button", name="Send report").click()
    expect_flash(admin, "Report sent.")
    admin.goto("/admin/live")
    row = admin.get_by_role("row", name="Other words")
    expect(row).to_contain_text("too plain")
    scripted = windows("/admin/live", storage_state=cast.signed_in("admin"))
    assert find_axe_violations(scripted) == []
    row.get_by_role("button", name="Delete message").click()
    expect_flash(admin, "Message deleted.")
    member.reload()
    expect(member.get_by_text("Other words")).to_have_count(0)
