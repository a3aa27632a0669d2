"""The till's pages in a real Chromium: payments, 3-D Secure, the portal, the operator's page, accessibility."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.watch import LOOKS, BrowserErrors, find_axe_violations
from tests.support.till_fixture import PATRON, Receiver, TillProcess


@pytest.fixture(scope="module")
def till(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TillProcess]:
    """A till and a stand-in for the site. The browser is requested first: without one the tests are skipped."""
    site = Receiver()
    made = TillProcess(tmp_path_factory.mktemp("till"), site.bind)
    try:
        yield made.start()
    finally:
        made.stop()
        site.stop()


@pytest.fixture
def page(chromium: Browser, till: TillProcess) -> Iterator[Callable[..., Page]]:
    """Open pages of the till; errors and warnings of the browser fail the test."""
    opened: list[tuple[BrowserContext, BrowserErrors]] = []

    def open_(path: str, width: int = 1280, scheme: str = "light") -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": 844}, base_url=till.url, color_scheme=scheme, reduced_motion="reduce"
        )
        context.set_default_timeout(60_000)
        opened.append((context, BrowserErrors(context)))
        made = context.new_page()
        made.goto(path)
        return made

    yield open_
    complaints = [complaint for _, watch in opened for complaint in watch.complaints]
    for context, _ in opened:
        context.close()
    assert complaints == []


def checkout(till: TillProcess, price: str = "price_friend_month", **params: object) -> str:
    site = till.settings.bind
    made = till.checkout(
        price,
        success_url=f"http://{site}/stripe/success?session={{CHECKOUT_SESSION_ID}}",
        cancel_url=f"http://{site}/stripe/cancel",
        **params,
    )
    return f"/checkout/{made['id']}"


def portal(till: TillProcess, subscription: dict[str, object]) -> str:
    params = {"customer": str(subscription["customer"]), "return_url": f"http://{till.settings.bind}/auth/account"}
    return "/portal/" + till.stripe.v1.billing_portal.sessions.create(params).id


def test_checkout_code_then_declined_card_then_paid_returns_to_the_site(
    till: TillProcess, page: Callable[..., Page]
) -> None:
    path = checkout(till, allow_promotion_codes=True)
    at = page(path)
    at.get_by_label("Promotion code").fill("WELCOME20")
    at.get_by_role("button", name="Apply").click()
    expect(at.locator(".total")).to_contain_text("USD 4.00")
    at.get_by_label("Email").fill("payer@site.example")
    at.get_by_label("A card that is declined").check()
    at.get_by_role("button", name="Pay USD 4.00").click()
    expect(at.get_by_role("alert")).to_contain_text("declined")
    expect(at.get_by_label("Email")).to_have_value("payer@site.example")
    at.get_by_role("button", name="Pay USD 4.00").click()
    expect(at.get_by_role("heading", name="Back at the site")).to_be_visible()
    assert at.url.startswith(f"http://{till.settings.bind}/stripe/success?session=cs_test_")
    at.goto(path)
    expect(at.get_by_text("This checkout is complete.")).to_be_visible()


@pytest.mark.parametrize(("answer", "lands"), [("Approve", "Back at the site"), ("Refuse", "Subscribe to Patron")])
def test_checkout_3d_secure_pays_only_if_approved(
    till: TillProcess, page: Callable[..., Page], answer: str, lands: str
) -> None:
    at = page(checkout(till, PATRON, customer_email="payer@site.example"))
    at.get_by_label("A card that asks for 3-D Secure once").check()
    at.get_by_role("button", name="Pay").click()
    expect(at.get_by_role("heading", name="Confirm with your bank")).to_be_visible()
    at.get_by_role("button", name=answer).click()
    expect(at.get_by_role("heading", name=lands)).to_be_visible()


def test_checkout_cancelled_returns_to_the_site(till: TillProcess, page: Callable[..., Page]) -> None:
    at = page(checkout(till))
    at.get_by_role("link", name="Cancel and go back").click()
    expect(at).to_have_url(f"http://{till.settings.bind}/stripe/cancel")


def test_portal_replace_card_pay_invoice_cancel_and_resume(till: TillProcess, page: Callable[..., Page]) -> None:
    subscription = till.subscribe(card="fails_later")
    till.operate("clock", days="32")
    at = page(portal(till, subscription))
    expect(at.get_by_role("heading", name="Friend past due")).to_be_visible()
    at.get_by_label("A card that pays •••• 4242").check()
    at.get_by_role("button", name="Use this card").click()
    expect(at.get_by_role("region", name="Friend")).to_contain_text("Card •••• 4242")
    at.get_by_role("link", name=re.compile("-0002$")).click()
    at.get_by_role("button", name="Pay USD 5.00 with •••• 4242").click()
    expect(at.get_by_text("paid")).to_be_visible()
    at.goto(portal(till, subscription))
    at.get_by_role("button", name="Cancel at the end of the period").click()
    expect(at.get_by_text(re.compile("Ends on"))).to_be_visible()
    at.get_by_role("button", name="Resume subscription").click()
    expect(at.get_by_text(re.compile("Renews on"))).to_be_visible()
    at.get_by_role("link", name="Back to the site").click()
    expect(at).to_have_url(f"http://{till.settings.bind}/auth/account")


def test_operator_clock_switches_refund_dispute_and_resend(till: TillProcess, page: Callable[..., Page]) -> None:
    subscription = till.subscribe()
    at = page("/")

    def press(name: str) -> None:
        with at.expect_navigation():  # the new page looks like the old one
            at.get_by_role("button", name=name).click()

    for width in (1280, 900, 390):
        at.set_viewport_size({"width": width, "height": 800})
        resend = at.get_by_role("button", name=re.compile("^Resend evt_")).first.bounding_box()
        assert resend is not None
        assert resend["x"] + resend["width"] <= width, f"Resend is cut off at {width}"
    press("Move clock to the next renewal")
    at.get_by_label("Send webhooks twice").check()
    press("Save switches")
    expect(at.get_by_label("Send webhooks twice")).to_be_checked()
    at.get_by_label("Send webhooks twice").uncheck()
    press("Save switches")
    charge = till.charge(till.latest_invoice(subscription["id"]))
    box = at.get_by_role("region", name=f"Charge {charge['id']}")
    box.get_by_label("Minor units").fill("200")
    box.get_by_role("button", name="Refund").click()
    expect(box).to_contain_text("refunded USD 2.00")
    box.get_by_role("button", name="Dispute").click()
    box.get_by_role("button", name="Dispute won").click()
    expect(box).to_contain_text("dispute won")
    at.get_by_role("button", name=re.compile("^Resend evt_")).first.click()
    expect(at).to_have_url(f"{till.url}/")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_page_is_accessible_and_fits(
    till: TillProcess, page: Callable[..., Page], width: int, scheme: str
) -> None:
    subscription = till.subscribe()
    open_checkout = checkout(till, PATRON, allow_promotion_codes=True, subscription_data={"trial_period_days": 14})
    paths = {
        "operator": "/",
        "checkout": open_checkout,
        "bank": f"{open_checkout}/authenticate?card=secure",
        "invoice": "/invoice/" + till.latest_invoice(subscription["id"])["id"],
        "portal": portal(till, subscription),
        "problem": "/invoice/none",
    }
    for name, path in paths.items():
        at = page(path, width, scheme)
        assert find_axe_violations(at) == [], name
        expect(at.locator(".notice")).to_have_text("Test till: no money moves.")
        assert at.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the window"
