"""The account page in a browser: name, address, devices, export, deletion."""

from __future__ import annotations

import json
import re

from playwright.sync_api import expect

from tests.browser.conftest import Windows
from tests.browser.people import Accounts, Mailbox, Person, account_section, expect_flash, expect_heading, is_signed_out
from tests.support.services_fixture import wait_until


def test_member_changes_address_with_emailed_link(windows: Windows, mailbox: Mailbox, cast: Accounts) -> None:
    person, new = cast.add(), Person().email
    page = windows()
    person.sign_in(page)
    form = account_section(page, "Email address")
    form.get_by_label("New email address").fill(new)
    form.get_by_label("Your password", exact=True).fill(person.password)
    form.get_by_role("button", name="Change email address").click()
    expect_heading(page, "Check your inbox")
    wait_until(lambda: mailbox.mails("email_changing", person.email), "the old address gets an email")
    page.goto(mailbox.link("change_email", new))
    page.get_by_role("button", name="Confirm new email address").click()
    expect_flash(page, "Email address changed.")
    expect(page.locator(".standfirst").first).to_contain_text(new)


def test_parts_of_the_page_are_as_wide_as_each_other(windows: Windows, cast: Accounts) -> None:
    page = windows()
    cast.add().sign_in(page)
    expect_heading(page, "Your account")
    widths = page.locator(".part").evaluate_all("parts => parts.map(part => part.getBoundingClientRect().width)")
    assert len(widths) > 5
    assert len(set(widths)) == 1, widths


def test_member_signs_out_one_device_then_all_others(windows: Windows, cast: Accounts) -> None:
    person = cast.add()
    desk, *others = [windows(width=width) for width in (1280, 390, 390, 390)]
    for window in (*others, desk):
        person.sign_in(window)
        expect_heading(window, "Your account")
    devices = account_section(desk, "Devices").get_by_role("listitem")
    expect(devices).to_have_count(4)
    expect(devices.filter(has_text="This device").get_by_role("button")).to_have_count(0)
    desk.get_by_role("button", name=re.compile("^Sign out device ")).first.click()
    expect_flash(desk, "That device is signed out.")
    wait_until(lambda: [is_signed_out(window) for window in others].count(True) == 1, "one is out")
    desk.get_by_role("button", name="Sign out other devices").click()
    expect_flash(desk, "All other devices are signed out.")
    wait_until(lambda: all(is_signed_out(window) for window in others), "all others are out")
    assert not is_signed_out(desk)


def test_member_changes_name_and_header_shows_it(windows: Windows, cast: Accounts) -> None:
    person = cast.add()
    page = windows()
    person.sign_in(page)
    form = account_section(page, "Name")
    expect(form.get_by_label("Name")).to_have_value(person.name)
    form.get_by_label("Name").fill("<b>Countess</b> & Co")
    form.get_by_role("button", name="Save name").click()
    expect_flash(page, "Name changed.")
    expect(page.get_by_role("navigation", name="Account")).to_contain_text("<b>Countess</b> & Co")


def test_member_exports_data_and_deletes_account(windows: Windows, mailbox: Mailbox, cast: Accounts) -> None:
    person = cast.add()
    page = windows()
    person.sign_in(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download your data").click()
    copy = json.loads(download.value.path().read_text())
    assert person.email in json.dumps(copy)

    account_section(page, "Delete account").get_by_role("link").click()
    for password, then in (("not the one that it is", "Delete your account"), (person.password, "Welcome to")):
        page.get_by_label("Your password", exact=True).fill(password)
        with page.expect_navigation():  # the form shown again looks like the one that was sent
            page.get_by_role("button", name="Delete account for good").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(then)
    expect_flash(page, "Your account is deleted.")
    wait_until(lambda: mailbox.mails("account_deleted", person.email), "the confirmation is sent")
    person.sign_in(page)
    expect(page.get_by_role("alert")).to_be_visible()
