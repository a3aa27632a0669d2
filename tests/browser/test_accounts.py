"""Registration, sign-in and password reset in a browser, with their emails."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Windows
from tests.browser.people import Accounts, Mailbox, Person, account_section, expect_flash, expect_heading, is_signed_out
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site

MEMBERS_PAGE = "/pages/reading-the-metrics"
OTHER_PASSWORD = "a kettle, a ladder & the moon"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_new_member_from_teaser_to_new_password(windows: Windows, mailbox: Mailbox, scripts: bool) -> None:
    person = Person()
    desk = windows(MEMBERS_PAGE, java_script_enabled=scripts)
    _join_from_the_teaser(desk, person, mailbox)
    phone = windows(width=390, java_script_enabled=scripts)
    person.sign_in(phone)
    expect_heading(phone, "Your account")

    _change_password(desk, person, OTHER_PASSWORD)
    wait_until(lambda: is_signed_out(phone), "the other device is out")
    assert not is_signed_out(desk)

    desk.get_by_role("button", name="Sign out", exact=True).click()
    expect_flash(desk, "You are signed out.")
    desk.goto(MEMBERS_PAGE)
    expect(desk.get_by_role("heading", name="The rest is for members")).to_be_visible()

    _choose_a_new_password(desk, person, mailbox, "four geese over the marsh")
    person.sign_in(desk, path=None)
    expect_heading(desk, "Your account")


def _join_from_the_teaser(page: Page, person: Person, mailbox: Mailbox) -> None:
    """Register from a teaser; it ends on the same page."""
    page.locator("main").get_by_role("link", name="Create an account").click()
    expect_heading(page, "Create an account")
    person.register(page)
    page.goto(mailbox.link("verify", person.email))
    expect_flash(page, "Email address confirmed.")
    person.sign_in(page, path=None)
    expect(page).to_have_url(re.compile(f"{MEMBERS_PAGE}$"))
    expect(page.get_by_role("heading", name="The rest is for members")).to_have_count(0)
    expect(page.get_by_role("navigation", name="On this page")).to_be_visible()


def _change_password(page: Page, person: Person, new: str) -> None:
    page.get_by_role("link", name=person.name).click()
    form = account_section(page, "Password")
    form.get_by_label("Current password", exact=True).fill(person.password)
    form.get_by_label("New password", exact=True).fill(new)
    form.get_by_role("button", name="Change password").click()
    expect_flash(page, "Password changed")
    person.password = new


def _choose_a_new_password(page: Page, person: Person, mailbox: Mailbox, new: str) -> None:
    page.locator("main").get_by_role("link", name="Sign in").click()
    page.get_by_role("link", name="Reset your password").click()
    page.get_by_label("Email address").fill(person.email)
    page.get_by_role("button", name="Send link").click()
    expect_heading(page, "Check your inbox")
    page.goto(mailbox.link("reset", person.email))
    page.get_by_label("New password", exact=True).fill(new)
    page.get_by_role("button", name="Save password").click()
    expect_flash(page, "Password changed.")
    person.password = new


def test_verification_link_on_another_device_needs_the_button_once(windows: Windows, mailbox: Mailbox) -> None:
    person = Person()
    person.register(windows("/auth/register"))
    link = mailbox.link("verify", person.email)
    phone = windows(link, width=390)
    expect_heading(phone, "Confirm your email address")
    phone.get_by_role("button", name="Confirm email address").click()
    expect_flash(phone, "Email address confirmed.")
    phone.goto(link)
    expect_heading(phone, "This link no longer works")


def test_register_known_address_same_page_and_owner_gets_email(
    windows: Windows, mailbox: Mailbox, cast: Accounts
) -> None:
    person = cast.add()
    person.register(windows("/auth/register"))
    wait_until(lambda: mailbox.mails("already_registered", person.email), "the owner gets an email")
    assert mailbox.mails("verify", person.email) == []


def test_unverified_member_is_asked_to_confirm_on_account_and_teaser(
    windows: Windows, mailbox: Mailbox, cast: Accounts
) -> None:
    person = cast.add(verified=False)
    page = windows()
    person.sign_in(page)
    page.get_by_role("button", name="Resend email").click()
    expect_heading(page, "Check your inbox")
    first = mailbox.link("verify", person.email)
    page.goto(MEMBERS_PAGE)
    page.get_by_role("button", name="Resend email").click()
    second = mailbox.link("verify", person.email, nth=2)

    page.goto(first)
    expect_heading(page, "This link no longer works")
    page.goto(second)
    page.get_by_role("button", name="Confirm email address").click()
    expect_flash(page, "You are now a member.")
    expect(page.locator(".notice")).to_have_count(0)
    page.goto(MEMBERS_PAGE)
    expect(page.get_by_role("navigation", name="On this page")).to_be_visible()


def test_teaser_member_without_subscription_sees_what_subscribers_get(windows: Windows, cast: Accounts) -> None:
    page = windows("/pages/under-load", storage_state=cast.signed_in("member"))
    card = page.get_by_role("region", name="The rest is for subscribers")
    expect(card).to_contain_text("Subscribers can read all of this page")
    expect(card).not_to_contain_text("Sign in")


def test_first_admin_link_leads_to_the_admin_area(windows: Windows, guarded: Site) -> None:
    link = re.search(r"http\S+", guarded.run("user", "first-admin"))
    assert link is not None
    person = Person(name="Grace Hopper")
    page = windows(link[0], base_url=guarded.url)
    expect_heading(page, "Welcome to your site")
    page.get_by_label("Name").fill(person.name)
    page.get_by_label("Email address").fill(person.email)
    page.get_by_label("Password", exact=True).fill(person.password)
    page.get_by_role("button", name="Create admin account").click()
    expect_flash(page, "Admin account created. You are signed in.")
    expect(page).to_have_url(re.compile("/admin/$"))
    expect(page.get_by_role("region", name="What to do next")).to_contain_text("Write pages")
    page.goto(link[0])
    expect(page.locator(".error-status")).to_have_text("400")
