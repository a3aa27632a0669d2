"""The ways of an account: from the first form to the deletion, with what is mailed on the way."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Windows
from tests.browser.people import Cast, Mailbox, Person
from tests.services_fixture import wait_until
from tests.site_fixture import Site

MEMBERS_PAGE = "/pages/reading-the-metrics"
OTHER_PASSWORD = "a kettle, a ladder & the moon"


def _heading(page: Page, words: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(words)


def _said(page: Page, words: str) -> None:
    expect(page.locator(".flash")).to_contain_text(words)


def _part(page: Page, name: str) -> Any:
    return page.get_by_role("region", name=name, exact=True)


def _is_out(page: Page) -> bool:
    """Whether the account page asks this browser to sign in."""
    page.goto("/auth/account")
    return "/auth/login" in page.url


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_member_walks_from_the_teaser_through_every_form_to_a_new_password(
    windows: Windows, mailbox: Mailbox, scripts: bool
) -> None:
    person = Person()
    desk = windows(MEMBERS_PAGE, java_script_enabled=scripts)
    _join_from_the_teaser(desk, person, mailbox)
    phone = windows(width=390, java_script_enabled=scripts)
    person.sign_in(phone)
    _heading(phone, "Your account")

    _change_password(desk, person, OTHER_PASSWORD)
    wait_until(lambda: _is_out(phone), "the other device is out")
    assert not _is_out(desk)

    desk.get_by_role("button", name="Sign out", exact=True).click()
    _said(desk, "You have signed out.")
    desk.goto(MEMBERS_PAGE)
    expect(desk.get_by_role("heading", name="The rest is for members")).to_be_visible()

    _choose_a_new_password(desk, person, mailbox, "four geese over the marsh")
    person.sign_in(desk, path=None)
    _heading(desk, "Your account")


def _join_from_the_teaser(page: Page, person: Person, mailbox: Mailbox) -> None:
    """Ends on the page whose teaser it began at."""
    page.locator("main").get_by_role("link", name="Create an account").click()
    _heading(page, "Create an account")
    person.register(page)
    page.goto(mailbox.link("verify", person.email))
    _said(page, "Your address is confirmed.")
    person.sign_in(page, path=None)
    expect(page).to_have_url(re.compile(f"{MEMBERS_PAGE}$"))
    expect(page.get_by_role("heading", name="The rest is for members")).to_have_count(0)
    expect(page.get_by_role("navigation", name="On this page")).to_be_visible()


def _change_password(page: Page, person: Person, new: str) -> None:
    page.get_by_role("link", name=person.name).click()
    part = _part(page, "Password")
    part.get_by_label("Current password", exact=True).fill(person.password)
    part.get_by_label("New password", exact=True).fill(new)
    part.get_by_role("button", name="Change the password").click()
    _said(page, "Your password is changed")
    person.password = new


def _choose_a_new_password(page: Page, person: Person, mailbox: Mailbox, new: str) -> None:
    page.locator("main").get_by_role("link", name="Sign in").click()
    page.get_by_role("link", name="I have forgotten my password").click()
    page.get_by_label("Email address").fill(person.email)
    page.get_by_role("button", name="Send the link").click()
    _heading(page, "Look into your mailbox")
    page.goto(mailbox.link("reset", person.email))
    page.get_by_label("New password", exact=True).fill(new)
    page.get_by_role("button", name="Keep this password").click()
    _said(page, "Your new password is set.")
    person.password = new


def test_link_in_the_mail_opened_on_another_device_asks_once_and_is_then_used_up(
    windows: Windows, mailbox: Mailbox
) -> None:
    person = Person()
    person.register(windows("/auth/register"))
    link = mailbox.link("verify", person.email)
    phone = windows(link, width=390)
    _heading(phone, "Confirm your address")
    phone.get_by_role("button", name="Confirm the address").click()
    _said(phone, "Your address is confirmed.")
    phone.goto(link)
    _heading(phone, "This link is no longer good")


def test_known_address_registers_to_the_same_page_and_its_owner_is_told(
    windows: Windows, mailbox: Mailbox, cast: Cast
) -> None:
    person = cast.add()
    person.register(windows("/auth/register"))
    wait_until(lambda: mailbox.mails("already_registered", person.email), "the owner is told")
    assert mailbox.mails("verify", person.email) == []


def test_unverified_member_is_led_to_the_mail_by_the_account_and_by_the_teaser(
    windows: Windows, mailbox: Mailbox, cast: Cast
) -> None:
    person = cast.add(verified=False)
    page = windows()
    person.sign_in(page)
    page.get_by_role("button", name="Send the mail again").click()
    _heading(page, "Look into your mailbox")
    first = mailbox.link("verify", person.email)
    page.goto(MEMBERS_PAGE)
    page.get_by_role("button", name="Send the mail again").click()
    second = mailbox.link("verify", person.email, nth=2)

    page.goto(first)
    _heading(page, "This link is no longer good")
    page.goto(second)
    page.get_by_role("button", name="Confirm the address").click()
    _said(page, "You are a member now.")
    expect(page.locator(".notice")).to_have_count(0)
    page.goto(MEMBERS_PAGE)
    expect(page.get_by_role("navigation", name="On this page")).to_be_visible()


def test_member_without_a_subscription_reads_on_the_teaser_what_is_missing(windows: Windows, cast: Cast) -> None:
    page = windows("/pages/under-load", storage_state=cast.signed_in("member"))
    expect(page.get_by_role("region", name="The rest is for subscribers")).to_contain_text("What is missing is a")


def test_member_takes_another_address_by_the_mail_to_it(windows: Windows, mailbox: Mailbox, cast: Cast) -> None:
    person, new = cast.add(), Person().email
    page = windows()
    person.sign_in(page)
    part = _part(page, "Email address")
    part.get_by_label("New email address").fill(new)
    part.get_by_label("Your password", exact=True).fill(person.password)
    part.get_by_role("button", name="Change the address").click()
    _heading(page, "Look into your mailbox")
    wait_until(lambda: mailbox.mails("email_changing", person.email), "the old address is told")
    page.goto(mailbox.link("change_email", new))
    page.get_by_role("button", name="Confirm the new address").click()
    _said(page, "Your new address is confirmed.")
    expect(page.locator(".standfirst").first).to_contain_text(new)


def test_member_ends_one_device_and_then_all_others(windows: Windows, cast: Cast) -> None:
    person = cast.add()
    desk, *others = [windows(width=width) for width in (1280, 390, 390, 390)]
    for window in (*others, desk):
        person.sign_in(window)
    devices = _part(desk, "Devices").get_by_role("listitem")
    expect(devices).to_have_count(4)
    expect(devices.filter(has_text="This device").get_by_role("button")).to_have_count(0)
    desk.get_by_role("button", name=re.compile("^End ")).first.click()
    _said(desk, "That device is signed out.")
    wait_until(lambda: [_is_out(window) for window in others].count(True) == 1, "one is out")
    desk.get_by_role("button", name="Sign out everywhere else").click()
    _said(desk, "All other devices are signed out.")
    wait_until(lambda: all(_is_out(window) for window in others), "all others are out")
    assert not _is_out(desk)


def test_member_takes_another_name_which_the_header_shows_at_once(windows: Windows, cast: Cast) -> None:
    person = cast.add()
    page = windows()
    person.sign_in(page)
    part = _part(page, "Name")
    expect(part.get_by_label("Name")).to_have_value(person.name)
    part.get_by_label("Name").fill("<b>Countess</b> & Co")
    part.get_by_role("button", name="Save the name").click()
    _said(page, "Your name is changed.")
    expect(page.get_by_role("navigation", name="Account")).to_contain_text("<b>Countess</b> & Co")


def test_member_takes_a_copy_along_and_deletes_the_account(windows: Windows, mailbox: Mailbox, cast: Cast) -> None:
    person = cast.add()
    page = windows()
    person.sign_in(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download a copy").click()
    copy = json.loads(download.value.path().read_text())
    assert person.email in json.dumps(copy)

    page.get_by_role("link", name="Delete the account").click()
    for password, heading in ((OTHER_PASSWORD, "Delete your account"), (person.password, "A membership site")):
        page.get_by_label("Your password", exact=True).fill(password)
        page.get_by_role("button", name="Delete the account for good").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
    _said(page, "Your account is deleted.")
    wait_until(lambda: mailbox.mails("account_deleted", person.email), "the last mail is sent")
    person.sign_in(page)
    expect(page.get_by_role("alert")).to_be_visible()


def test_first_admin_comes_in_by_the_link_of_the_console_and_sees_the_admin_area(
    windows: Windows, guarded: Site
) -> None:
    link = re.search(r"http\S+", guarded.run("user", "first-admin"))
    assert link is not None
    person = Person(name="Grace Hopper")
    page = windows(link[0], base_url=guarded.url)
    _heading(page, "Welcome to your site")
    page.get_by_label("Name").fill(person.name)
    page.get_by_label("Email address").fill(person.email)
    page.get_by_label("Password", exact=True).fill(person.password)
    page.get_by_role("button", name="Become the admin").click()
    _said(page, "The site is yours.")
    person.sign_in(page, path=None)
    page.get_by_role("navigation", name="Account").get_by_role("link", name="Admin").click()
    expect(page).to_have_url(re.compile("/admin/$"))
    page.goto(link[0])
    expect(page.locator(".error-status")).to_have_text("400")
