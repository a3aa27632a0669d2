"""Account forms in a browser, and the header for each role."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Windows
from tests.browser.people import Accounts, Person
from tests.browser.watch import LOOKS, find_axe_violations

WEAK = "password1234"


def _sent_back(windows: Windows, width: int = 1280, **options: object) -> Page:
    """The registration form after an invalid address and a weak password."""
    page = windows("/auth/register", width=width, **options)
    page.get_by_label("Name").fill('"><svg onload=alert(1)>')
    page.get_by_label("Email address").fill("ada@localhost")
    page.get_by_label("Password", exact=True).fill(WEAK)
    page.get_by_role("button", name="Create account").click()
    expect(page).to_have_title(re.compile("^Error: Create an account"))
    return page


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_form_with_errors_is_shown_again_with_focus_and_input(windows: Windows, scripts: bool) -> None:
    page = _sent_back(windows, java_script_enabled=scripts)
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary.get_by_role("link")).to_have_count(2)
    expect(page.get_by_label("Name")).to_have_value('"><svg onload=alert(1)>')
    expect(page.get_by_label("Email address")).to_have_value("ada@localhost")
    expect(page.get_by_label("Password", exact=True)).to_have_value("")
    assert WEAK not in page.content()


def test_error_link_leads_to_the_field_with_its_error(windows: Windows) -> None:
    page = _sent_back(windows)
    links = page.get_by_role("alert").get_by_role("link")
    for link, label in zip(links.all(), ("Email address", "Password"), strict=True):
        field = page.get_by_label(label, exact=True)
        link.click()
        expect(field).to_be_focused()
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(re.escape(f"Error: {link.inner_text()}")))
    expect(page.get_by_label("Password", exact=True)).to_have_accessible_description(re.compile("At least 12 char"))
    expect(page.get_by_label("Name")).not_to_have_attribute("aria-invalid", "true")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_form_with_errors_passes_axe(windows: Windows, width: int, scheme: str) -> None:
    page = _sent_back(windows, width=width, color_scheme=scheme)
    assert find_axe_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_login_wrong_password_and_unknown_address_show_the_same_error(windows: Windows, cast: Accounts) -> None:
    member, page = cast.add(), windows()
    errors = []
    for person in (Person(email=member.email, password="not the one that it is"), Person()):
        person.sign_in(page)
        expect(page).to_have_title(re.compile("^Error: Sign in"))
        expect(page.get_by_label("Email address")).to_have_value(person.email)
        errors.append(page.get_by_role("alert").inner_text())
    assert errors[0] == errors[1]


def test_account_page_errors_stay_in_their_form(windows: Windows, cast: Accounts) -> None:
    page = windows("/auth/account", storage_state=cast.signed_in("member"))
    part = page.get_by_role("region", name="Password", exact=True)
    part.get_by_label("Current password", exact=True).fill("not the one that it is")
    part.get_by_label("New password", exact=True).fill("four geese over the marsh")
    part.get_by_role("button", name="Change password").click()
    expect(part.get_by_role("alert")).to_be_focused()
    expect(part.get_by_label("Current password", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.locator("[aria-invalid]")).to_have_count(1)
    assert find_axe_violations(page) == []


def test_password_is_shown_on_demand_and_hidden_before_it_is_sent(windows: Windows) -> None:
    page = windows("/auth/login")
    field, button = page.locator("#password"), page.get_by_role("button", name="Show password")
    field.fill("something")
    expect(field).to_have_attribute("type", "password")
    button.click()
    expect(field).to_have_attribute("type", "text")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(field).to_have_attribute("type", "password")
    button.click()
    page.evaluate("document.querySelector('main form').addEventListener('submit', e => e.preventDefault())")
    page.get_by_label("Email address").fill("ada@example.org")
    field.press("Enter")
    expect(field).to_have_attribute("type", "password")


def test_show_password_button_is_hidden_without_scripts(windows: Windows) -> None:
    page = windows("/auth/login", java_script_enabled=False)
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    expect(page.locator("[data-reveal]")).to_be_hidden()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/auth/register", {"name": "name", "email": "email", "password": "new-password"}),
        ("/auth/login", {"email": "username", "password": "current-password"}),
        ("/auth/forgot", {"email": "username"}),
    ],
)
def test_fields_have_autocomplete_for_password_managers(windows: Windows, path: str, expected: dict[str, str]) -> None:
    page = windows(path)
    fields = page.locator("main input:not([type=hidden])")
    autocomplete = fields.evaluate_all("fields => fields.map(field => [field.name, field.autocomplete])")
    assert dict(autocomplete) == expected
    expect(page.get_by_label("Email address")).to_have_attribute("inputmode", "email")


def test_password_can_be_pasted(windows: Windows) -> None:
    page = windows("/auth/login")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('pasted phrase')")
    page.locator("#password").focus()
    page.keyboard.press("Control+V")
    expect(page.locator("#password")).to_have_value("pasted phrase")


@pytest.mark.parametrize("path", ["/auth/login?next=/pages/under-load", "/auth/login?next=//example.org/"])
def test_login_next_stays_on_the_site(windows: Windows, cast: Accounts, path: str) -> None:
    page = windows()
    cast.add().sign_in(page, path)
    own = "/pages/under-load" if "under-load" in path else "/auth/account"
    expect(page).to_have_url(f"{windows.site.url}{own}")


_HEADERS = {
    "stranger": ["Sign in", "Join"],
    "unverified": ["Robin Unverified", "Sign out"],
    "member": ["Robin Member", "Sign out"],
    "admin": ["Robin Admin", "Admin", "Sign out"],
}


@pytest.mark.parametrize(("role", "names"), _HEADERS.items(), ids=_HEADERS)
def test_header_fits_in_one_or_two_lines_for_each_role(
    windows: Windows, cast: Accounts, role: str, names: list[str]
) -> None:
    state = {} if role == "stranger" else {"storage_state": cast.signed_in(role)}
    page = windows("/", **state)
    snapshot = page.get_by_role("navigation", name="Account")
    for width, height in ((1280, 72), (390, 112)):
        page.set_viewport_size({"width": width, "height": 844})
        shown = [snapshot.get_by_role("link").all(), snapshot.get_by_role("button").all()]
        found = [item.inner_text() or item.text_content() for items in shown for item in items]
        assert [str(name).strip() for name in found] == names
        for items in shown:
            for item in items:
                expect(item).to_be_in_viewport()
        box = page.locator(".site-header").bounding_box()
        assert box is not None
        assert box["height"] <= height, (role, width, box)


def test_member_name_is_on_no_page_after_sign_out(windows: Windows, cast: Accounts) -> None:
    person = cast.add()
    page = windows("/")
    person.sign_in(page)
    page.goto("/")
    expect(page.locator(".site-header")).to_contain_text(person.name)
    page.get_by_role("button", name="Sign out").click()
    for _ in range(2):
        expect(page.locator(".site-header")).to_contain_text("Join")
        page.goto("/")
    page.go_back()
    expect(page.locator(".site-header")).not_to_contain_text(person.name)


@pytest.mark.parametrize("role", ["stranger", "admin"])
def test_account_and_admin_pages_are_not_indexed(windows: Windows, cast: Accounts, role: str) -> None:
    state = {} if role == "stranger" else {"storage_state": cast.signed_in(role)}
    page = windows(**state)
    paths = ("/auth/login", "/auth/register", "/auth/forgot", "/auth/sent/forgot")
    for path in paths if role == "stranger" else ("/auth/account", "/auth/delete", "/admin/", "/admin/members"):
        page.goto(path)
        expect(page.locator('meta[name="robots"]')).to_have_attribute("content", "noindex")
        expect(page.locator('link[rel="canonical"], meta[property^="og:"]')).to_have_count(0)
