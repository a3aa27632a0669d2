"""Membership in the browser, with the test till as Stripe: subscribe, read, change plan, failed payments, cancel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Windows, make_site
from tests.browser.people import Accounts, Person
from tests.browser.watch import LOOKS, find_axe_violations
from tests.support.services_fixture import free_port, wait_until
from tests.support.site_fixture import Site
from tests.support.till_fixture import TillProcess

PREMIUM_PAGE = "/pages/under-load"
GOOD, DECLINED, FAILS_LATER = "4242", "0002", "0341"
"""Cards of the till, by their last digits."""


@pytest.fixture(scope="module")
def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose payments go to a till."""
    limits = {f"CHURCH_LIMIT_{name}": "1000000/minute" for name in ("LOGIN", "CHECKOUT", "WEBHOOK", "ACCOUNT")}
    folder = tmp_path_factory.mktemp("shop")
    site = make_site(folder, CHURCH_TILL_BIND=f"127.0.0.1:{free_port()}", **limits)
    try:
        site.start()
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def till(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TillProcess]:
    """The till of the site; they share the secret in the instance folder."""
    made = TillProcess(site.settings.instance.parent, site.settings.bind, CHURCH_TILL_BIND=site.settings.till_address)
    try:
        made.start()
        wait_until(lambda: b"Friend" in site.get("/stripe/pricing")[1], "the till's plans are on offer")
        yield made
    finally:
        made.stop()


@pytest.fixture
def windows(chromium: Browser, site: Site, till: TillProcess) -> Iterator[Windows]:
    """Windows on this site; browser errors on its pages or the till's fail the test."""
    made = Windows(chromium, site)
    yield made
    made.close()
    assert made.complaints == []


@pytest.fixture
def member(chromium: Browser, site: Site, windows: Windows) -> Callable[..., Page]:
    """Open a window at ``path`` in which a new member is signed in."""
    cast = Accounts(chromium, site)

    def enter(path: str = "/stripe/pricing", **options: object) -> Page:
        page = windows(**options)  # type: ignore[arg-type]
        person: Person = cast.add()
        person.sign_in(page)
        _heading(page, "Your account")
        page.goto(path)
        return page

    return enter


def _heading(page: Page, words: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(words)


def _pay(page: Page, plan: str = "Friend", card: str = GOOD) -> None:
    """Choose a plan and pay at the till."""
    page.get_by_role("button", name=re.compile(f"^(Get|Try) {plan}\\b")).click()
    _heading(page, f"Subscribe to {plan}")
    page.get_by_label(f"•••• {card}").check()
    page.get_by_role("button", name=re.compile("^(Pay|Start free trial)")).click()


def _subscribe(page: Page, plan: str = "Friend", card: str = GOOD) -> None:
    page.goto("/stripe/pricing")
    _pay(page, plan, card)
    _heading(page, "Welcome")


def _wait_for_status(page: Page, words: str) -> None:
    """Wait until the account page shows a status, after the webhook."""

    def is_shown() -> bool:
        page.goto("/auth/account")
        return re.search(words, page.locator(".standing").inner_text()) is not None

    wait_until(is_shown, f"the account shows {words}")


def _open_invoice(page: Page) -> Locator:
    """Wait for the link to the unpaid invoice: its webhooks come after the one of the subscription."""
    link = page.get_by_role("link", name="Pay invoice")

    def offered() -> bool:
        page.goto("/auth/account")
        return link.count() == 1

    wait_until(offered, "the account links to the invoice")
    return link


def _wait_for_invoices(page: Page, count: int) -> None:
    """Wait until the list shows ``count`` invoices, after their webhooks."""

    def listed() -> bool:
        page.goto("/stripe/invoices")
        return page.get_by_role("row").count() == 1 + count  # plus the header

    wait_until(listed, f"{count} invoices are listed")


def _can_read(page: Page) -> bool:
    page.goto(PREMIUM_PAGE)
    return page.get_by_role("heading", name="The rest is for subscribers").count() == 0


@pytest.mark.parametrize(("scripts", "width"), [(True, 1280), (False, 390)], ids=["scripts", "no scripts"])
def test_member_subscribes_reads_and_loses_premium_at_the_end_of_the_cancelled_period(
    member: Callable[..., Page], till: TillProcess, scripts: bool, width: int
) -> None:
    page = member(PREMIUM_PAGE, java_script_enabled=scripts, width=width)
    page.get_by_role("link", name="Subscribe").click()
    till.operate("knobs", down="on")
    _pay(page)
    _heading(page, "Confirming your payment")
    waiting = page.url
    assert not _can_read(page)  # premium starts only when Stripe confirms the payment
    page.goto(waiting)
    till.operate("knobs", down="")
    _heading(page, "Welcome")
    expect(page.locator(".standfirst")).to_contain_text("Friend. Renews")
    page.get_by_role("link", name="Continue reading").click()
    expect(page).to_have_url(re.compile(f"{PREMIUM_PAGE}$"))
    expect(page.get_by_role("heading", name="The rest is for subscribers")).to_have_count(0)

    page.goto("/auth/account")
    expect(page.locator(".standing")).to_contain_text(re.compile(r"Friend\. Renews \d+ \w+, \$5\.00\."))
    page.get_by_role("button", name="Manage or cancel").click()
    page.get_by_role("button", name="Cancel at the end of the period").click()
    expect(page.get_by_role("button", name="Resume subscription")).to_be_visible()
    page.get_by_role("link", name="Back to the site").click()
    _wait_for_status(page, r"Ends \d+ \w+")
    expect(page.get_by_role("button", name="Manage or resume")).to_be_visible()
    assert _can_read(page)
    till.operate("clock", days="32")
    wait_until(lambda: not _can_read(page), "the page is closed")
    _wait_for_status(page, r"^No subscription\.$")  # and no card that it is paid with
    expect(page.get_by_role("button", name="Manage payments")).to_be_visible()


def test_declined_card_leaves_no_membership_and_the_return_page_says_so(member: Callable[..., Page]) -> None:
    page = member()
    _pay(page, card=DECLINED)
    expect(page.get_by_role("alert")).to_contain_text("declined")
    page.get_by_role("link", name="Cancel and go back").click()
    _heading(page, "Nothing was paid")
    _wait_for_status(page, "No subscription")
    assert not _can_read(page)


def test_trial_begins_without_a_payment_and_is_offered_once(member: Callable[..., Page], till: TillProcess) -> None:
    page = member()
    patron = page.get_by_role("region", name="Patron")
    expect(patron).to_contain_text("First 14 days free.")
    _subscribe(page, "Patron")
    _wait_for_status(page, r"Patron\. Trial until \d+ \w+, then \$12\.00\.")
    assert _can_read(page)
    page.goto("/stripe/pricing?interval=month")
    expect(patron.locator(".badge")).to_have_text("Your plan")
    expect(patron).not_to_contain_text("days free")


def test_failed_renewal_is_shown_and_premium_stays_until_another_card_pays(
    member: Callable[..., Page], till: TillProcess
) -> None:
    page = member()
    _subscribe(page, card=FAILS_LATER)
    till.operate("clock", days="32")
    _wait_for_status(page, r"Payment failed; premium until \d+ \w+")
    expect(page.locator(".notice")).to_contain_text("Your last payment failed. You keep premium until")
    assert find_axe_violations(page) == []
    assert _can_read(page)

    page.goto("/auth/account")
    page.get_by_role("button", name="Replace card").click()
    page.get_by_label(f"•••• {GOOD}").check()
    page.get_by_role("button", name="Use this card").click()
    expect(page.get_by_role("region", name="Friend")).to_contain_text(f"Card •••• {GOOD}")
    page.get_by_role("link", name="Back to the site").click()
    _heading(page, "Your account")
    _open_invoice(page).click()
    page.get_by_role("button", name=re.compile("^Pay ")).click()
    expect(page.get_by_text("paid")).to_be_visible()
    _wait_for_status(page, "Renews")
    expect(page.locator(".notice")).to_have_count(0)


def test_unpaid_renewal_ends_premium_when_stripe_gives_up(member: Callable[..., Page], till: TillProcess) -> None:
    page = member()
    _subscribe(page, card=FAILS_LATER)
    till.operate("clock", days="32")
    _wait_for_status(page, "Payment failed; premium until")
    assert _can_read(page)
    till.operate("clock", days="20")
    wait_until(lambda: not _can_read(page), "the page is closed")
    _wait_for_status(page, "No subscription")


def test_upgrade_is_paid_and_starts_now_and_downgrade_starts_later(
    member: Callable[..., Page], till: TillProcess
) -> None:
    page = member()
    _subscribe(page)
    page.goto("/stripe/pricing")
    page.get_by_role("link", name="Change to Patron").click()
    _heading(page, "Change to Patron")
    expect(page.locator(".sums-due dd")).to_have_text(re.compile(r"^\$7\.00$|^\$6\.99$"))
    page.get_by_role("button", name="Pay and change plan").click()
    expect(page.locator(".flash")).to_have_text("Your plan is now Patron.")
    _wait_for_status(page, r"Patron\. Renews \d+ \w+, \$12\.00")

    page.goto("/stripe/pricing")
    page.get_by_role("link", name="Change to Friend").click()
    expect(page.locator(".sums-due dd")).to_have_text("$0.00")
    page.get_by_role("button", name="Change plan").click()
    expect(page.locator(".standing")).to_contain_text(re.compile(r"Changes to Friend \d+ \w+, \$5\.00"))
    page.goto("/stripe/pricing")
    expect(page.get_by_role("region", name="Friend").locator(".badge")).to_have_text("Next plan")
    page.get_by_role("link", name="Keep Patron").click()
    page.get_by_role("button", name="Keep plan").click()
    _wait_for_status(page, r"Patron\. Renews \d+ \w+, \$12\.00")

    _wait_for_invoices(page, 2)  # the first period and the change
    page.get_by_role("link", name=re.compile("^View")).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Invoice")


def test_repeated_subscribe_button_keeps_one_open_checkout(member: Callable[..., Page], till: TillProcess) -> None:
    page = member()
    addresses = []
    for plan in ("Friend", "Friend", "Patron"):
        page.goto("/stripe/pricing")
        page.get_by_role("button", name=re.compile(f"^(Get|Try) {plan}\\b")).click()
        _heading(page, f"Subscribe to {plan}")
        addresses.append(page.url)
    assert addresses[0] == addresses[1] != addresses[2]
    page.goto(addresses[0])
    expect(page.locator("main")).to_contain_text("no longer open")


def test_unreachable_stripe_shows_an_error_and_other_pages_work(member: Callable[..., Page], till: TillProcess) -> None:
    page = member()
    till.operate("knobs", api_down="on")
    try:
        page.get_by_role("button", name="Get Friend").click()
        expect(page.locator(".error-status")).to_have_text("503")
        expect(page.locator("main")).to_contain_text("The payment service is not responding.")
        page.goto("/auth/account")
        expect(page.locator(".standing")).to_have_text("No subscription.")
    finally:
        till.operate("knobs", api_down="")

    def is_back() -> bool:
        page.goto("/stripe/pricing")
        with page.expect_navigation():  # before the navigation the page shows plans and no error
            page.get_by_role("button", name="Get Friend").click()
        return page.locator(".error-status").count() == 0

    wait_until(is_back, "the circuit has closed")
    _heading(page, "Subscribe to Friend")


def test_signed_out_visitor_registers_and_returns_to_the_plans(windows: Windows) -> None:
    page = windows("/stripe/pricing?interval=year")
    expect(page.get_by_role("region", name="Friend").locator(".price")).to_have_text("$50.00 a year")
    page.get_by_role("link", name="Monthly").click()
    expect(page.get_by_role("region", name="Friend").locator(".price")).to_have_text("$5.00 a month")
    page.get_by_role("link", name="Get Friend, $5 a month").click()
    _heading(page, "Create an account")
    assert "next=/stripe/pricing" in page.url.replace("%2F", "/")


def _check_layout_and_axe(page: Page, name: str) -> None:
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert find_axe_violations(page) == [], (name, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)


def test_membership_pages_fit_the_window_and_have_no_axe_violations(
    member: Callable[..., Page], windows: Windows, till: TillProcess
) -> None:
    _check_layout_and_axe(windows("/stripe/pricing"), "plans, signed out")
    page = member("/stripe/pricing?interval=year")
    _check_layout_and_axe(page, "plans for a member")
    till.operate("knobs", down="on")
    _pay(page)
    _heading(page, "Confirming your payment")
    _check_layout_and_axe(page, "waiting")
    till.operate("knobs", down="")
    _heading(page, "Welcome")
    _check_layout_and_axe(page, "welcome")
    for path in ("/stripe/pricing", "/stripe/cancel", "/stripe/invoices", "/auth/account"):
        page.goto(path)
        _check_layout_and_axe(page, path)
    page.goto("/stripe/pricing?interval=month")
    page.get_by_role("link", name="Change to Patron").click()
    _heading(page, "Change to Patron")
    _check_layout_and_axe(page, "change")


def test_site_without_plans_says_so(chromium: Browser, tmp_path: Path) -> None:
    site = make_site(tmp_path)
    windows = Windows(chromium, site)
    try:
        site.start()
        page = windows("/stripe/pricing")
        expect(page.get_by_role("heading", name="No plans yet")).to_be_visible()
        _check_layout_and_axe(page, "no plans")
    finally:
        windows.close()
        site.stop()
    assert windows.complaints == []
