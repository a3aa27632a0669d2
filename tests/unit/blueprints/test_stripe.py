"""The membership pages, for people and as JSON."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from church import create_app
from church.models import Checkout, LedgerEntry, User
from church.services.billing.errors import StripeRefusedError
from tests.support.browsing import JSON, Browser, follow_redirect
from tests.support.helpers import captured_log, with_settings
from tests.support.membership_fixture import FRIEND, FRIEND_YEAR, PATRON, Membership
from tests.support.pages_fixture import small_library

pytestmark = pytest.mark.sqlite_alone

PAGE = re.compile(r"<main.*</main>", re.S)


@pytest.fixture
def user(membership: Membership) -> User:
    return membership.add()


@pytest.fixture
def browser(membership: Membership, user: User) -> Browser:
    return membership.browser(user)


def text_of(browser: Browser, path: str) -> str:
    """Return the text of a page's main part."""
    answer = browser.get(path)
    assert answer.status_code == 200
    found = PAGE.search(answer.text)
    assert found is not None
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


def test_plans_are_shown_to_everyone_by_month_and_by_year(membership: Membership) -> None:
    stranger = membership.browser()
    monthly, yearly = text_of(stranger, "/stripe/pricing"), text_of(stranger, "/stripe/pricing?interval=year")
    assert "$5.00 a month Or $50.00 a year. Tax, where it applies," in monthly
    assert "$50.00 a year Or $5.00 a month." in yearly
    assert "First 14 days free. Try Patron free for 14 days" in monthly
    assert "Get Friend, $5 a month" in monthly
    assert "<form" not in PAGE.findall(stranger.get("/stripe/pricing").text)[0]
    assert text_of(stranger, "/stripe/pricing?interval=<b>") == monthly


def test_admins_are_told_that_they_need_no_plan(membership: Membership) -> None:
    admin = membership.browser(membership.add("root@church.example", role="admin"))
    assert "You are an admin: everything that is premium is open to you." in text_of(admin, "/stripe/pricing")
    assert "No subscription. Everything is open to you as an admin." in text_of(admin, "/auth/account")
    assert "as an admin" not in text_of(membership.browser(membership.add()), "/auth/account")


def test_pricing_as_json_lists_the_plans(membership: Membership, browser: Browser) -> None:
    found = browser.get("/stripe/pricing", headers=JSON).get_json()
    assert found["payments"] is True
    assert [plan["plan"] for plan in found["plans"]] == ["friend", "patron"]
    assert found["plans"][0]["prices"][0]["amount"] == 500
    assert found["membership"]["state"] == "none"
    assert membership.browser().get("/stripe/pricing", headers=JSON).get_json()["membership"] is None


def test_pricing_marks_the_own_plan_and_links_changes_to_others(
    membership: Membership, user: User, browser: Browser
) -> None:
    membership.subscribed(user)
    page = browser.get("/stripe/pricing").text
    assert len(re.findall("Your plan", page)) == 1
    assert f'href="/stripe/change?price={PATRON}"' in page
    assert 'action="/stripe/checkout"' not in page
    assert "Your plan" not in browser.get("/stripe/pricing?interval=year").text
    assert re.search(r"Friend\. Renews \d+ \w+, \$5\.00\.", text_of(browser, "/stripe/pricing"))


def test_two_subscriptions_are_shown_with_their_prices_and_a_way_to_end_each(
    membership: Membership, user: User, browser: Browser
) -> None:
    """On the account, pricing and invoice pages; another member's can't be opened."""
    membership.subscribed(user)
    stripe = membership.till.stripe.v1
    customer = stripe.customers.list().data[0].id
    card = stripe.payment_methods.list({"customer": customer}).data[0].id
    stripe.subscriptions.create({"customer": customer, "items": [{"price": PATRON}], "default_payment_method": card})
    membership.tell()
    for path in ("/auth/account", "/stripe/pricing", "/stripe/invoices"):
        text = text_of(browser, path)
        assert "You have two subscriptions." in text
        assert re.search(r"Patron\. Renews \d+ \w+, \$12\.00\. .*Friend\. Renews \d+ \w+, \$5\.00\.", text)
    found = re.findall(r'name="subscription" value="(sub_\w+)"', browser.get("/auth/account").text)
    assert sorted(found) == sorted(one.id for one in stripe.subscriptions.list().data)
    answer = browser.submit("/stripe/portal", {"subscription": found[0]})
    assert answer.status_code == 303
    assert "/portal/" in answer.location
    refused = browser.submit("/stripe/portal", {"subscription": "sub_of_nobody"})
    assert refused.location.endswith("/auth/account")


def test_pricing_opens_with_the_members_own_interval(membership: Membership, user: User) -> None:
    membership.subscribed(user, FRIEND_YEAR)
    assert "$50.00 a year Or" in text_of(membership.browser(user), "/stripe/pricing")


def test_pricing_without_plans_says_so(app: Flask) -> None:
    assert "No plans yet" in text_of(Browser(app), "/stripe/pricing")


def test_pricing_without_payments_says_so_and_is_not_in_the_menu(app: Flask) -> None:
    browser = Browser(create_app(with_settings(app.config["CHURCH"], environment="production")))
    assert "No paid plans" in text_of(browser, "/stripe/pricing")
    assert "/stripe/pricing" not in browser.get("/").text.partition("</header>")[0]
    assert browser.get("/stripe/pricing", headers=JSON).get_json()["payments"] is False


def test_unconfirmed_account_cannot_subscribe_and_sees_why(membership: Membership) -> None:
    browser = membership.browser(membership.add("new@church.example", verified=False))
    assert "Confirm your email address to subscribe." in text_of(browser, "/stripe/pricing")
    assert 'action="/stripe/checkout"' not in browser.get("/stripe/pricing").text
    assert browser.submit("/stripe/checkout", {"price": FRIEND}).status_code == 403
    assert membership.rows(Checkout) == []


def test_checkout_redirects_to_stripe_as_the_policy_allows(membership: Membership, browser: Browser) -> None:
    policy = browser.get("/stripe/pricing").headers["Content-Security-Policy"]
    assert f"form-action 'self' {membership.till.desk.address};" in policy
    answer = browser.submit("/stripe/checkout", {"price": FRIEND})
    assert answer.status_code == 303
    assert answer.location.startswith(f"{membership.till.desk.address}/checkout/cs_")
    again = browser.post_json("/stripe/checkout", {"price": FRIEND})
    assert (again.status_code, again.get_json()) == (200, {"url": answer.location})


def test_checkout_at_a_custom_domain_is_linked_from_a_page(
    membership: Membership, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("church.services.billing.payment_origins", lambda: ("https://checkout.stripe.com",))
    answer = browser.submit("/stripe/checkout", {"price": FRIEND})
    assert answer.status_code == 200
    assert f'content="0; url={membership.till.desk.address}/checkout/' in answer.text


def test_checkout_without_a_csrf_token_is_refused(membership: Membership, browser: Browser) -> None:
    assert browser.client.post("/stripe/checkout", data={"price": FRIEND}).status_code == 400
    assert membership.rows(Checkout) == []


def test_checkout_refused_is_explained_on_the_pricing_page(
    membership: Membership, user: User, browser: Browser
) -> None:
    assert "no longer available" in follow_redirect(
        browser, browser.submit("/stripe/checkout", {"price": "price_gone"})
    )
    refused = browser.post_json("/stripe/checkout", {"price": "price_gone"})
    assert (refused.status_code, list(refused.get_json()["errors"])) == (422, ["price"])
    membership.subscribed(user)
    answer = browser.submit("/stripe/checkout", {"price": PATRON})
    assert (answer.status_code, answer.location) == (303, f"/stripe/change?price={PATRON}")
    assert browser.post_json("/stripe/checkout", {"price": PATRON}).status_code == 409


def test_checkout_just_paid_redirects_to_the_success_page(membership: Membership, browser: Browser) -> None:
    session = browser.submit("/stripe/checkout", {"price": FRIEND}).location.rpartition("/")[2]
    membership.pay(session)
    answer = browser.submit("/stripe/checkout", {"price": FRIEND})
    assert answer.location == f"/stripe/success?session_id={session}"
    assert browser.post_json("/stripe/checkout", {"price": FRIEND}).status_code == 409


def test_success_page_waits_and_grants_nothing_until_the_webhook(
    membership: Membership, user: User, browser: Browser
) -> None:
    form = {"price": FRIEND, "next": "/pages/under-load"}
    session = browser.submit("/stripe/checkout", form).location.rpartition("/")[2]
    membership.pay(session)
    path = f"/stripe/success?session_id={session}"
    waiting = browser.get(path)
    assert "Confirming your payment" in waiting.text
    assert '<noscript><meta http-equiv="refresh"' in waiting.text
    assert browser.get(path, headers=JSON).get_json()["state"] == "waiting"
    assert not membership.as_signed_in(user).premium
    membership.tell()
    done = browser.get(path)
    assert "<h1>Welcome</h1>" in done.text
    assert 'href="/pages/under-load"' in done.text
    assert "http-equiv" not in done.text
    assert done.headers["Cache-Control"] == "private, no-store"
    found = browser.get(path, headers=JSON).get_json()
    assert (found["state"], found["membership"]["premium"]) == ("done", True)


def test_success_page_links_to_what_is_open_now_and_to_the_invoice(
    membership: Membership, user: User, browser: Browser
) -> None:
    small_library(membership.settings.content)
    session = browser.submit("/stripe/checkout", {"price": FRIEND}).location.rpartition("/")[2]
    path = f"/stripe/success?session_id={session}"
    assert "Open to you now" not in browser.get(path).text
    membership.pay(session)
    membership.tell()
    done = browser.get(path).text
    for link in ("/pages/gold", "/live/premium", "/stripe/invoices"):
        assert f'href="{link}"' in done
        assert browser.get(link).status_code == 200
    assert "/pages/club" not in done
    assert re.search(r"Invoice [\w-]+, \$5\.00, paid\.", " ".join(re.sub(r"<[^>]+>", " ", done).split()))
    assert re.search(r'<a href="http[^"]+">View', done)


@pytest.mark.parametrize("asked", ["", "?session_id=", "?session_id=cs_forged", f"?session_id={'x' * 300}"])
def test_success_page_without_a_valid_session_is_not_found(browser: Browser, asked: str) -> None:
    assert browser.get(f"/stripe/success{asked}").status_code == 404


def test_success_page_is_only_for_its_member(membership: Membership, browser: Browser) -> None:
    session = browser.submit("/stripe/checkout", {"price": FRIEND}).location.rpartition("/")[2]
    other = membership.browser(membership.add("other@church.example"))
    assert other.get(f"/stripe/success?session_id={session}").status_code == 404


@pytest.mark.parametrize("way", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_next_never_redirects_to_another_site(membership: Membership, browser: Browser, way: str) -> None:
    session = browser.submit("/stripe/checkout", {"price": FRIEND, "next": way}).location.rpartition("/")[2]
    membership.pay(session)
    membership.tell()
    assert "evil" not in browser.get(f"/stripe/success?session_id={session}").text
    assert "evil" not in membership.browser().get("/stripe/pricing", query_string={"next": way}).text


def test_cancelled_checkout_says_that_nothing_was_paid(membership: Membership, browser: Browser) -> None:
    assert "Nothing was paid" in text_of(membership.browser(), "/stripe/cancel")
    assert browser.get("/stripe/cancel", headers=JSON).get_json() == {"state": "cancelled"}


def test_portal_redirects_a_paying_member_to_stripe(membership: Membership, user: User, browser: Browser) -> None:
    assert "no subscription to manage" in follow_redirect(browser, browser.submit("/stripe/portal"))
    assert browser.post_json("/stripe/portal").status_code == 409
    membership.subscribed(user)
    assert browser.submit("/stripe/portal").location.startswith(f"{membership.till.desk.address}/portal/")
    assert browser.post_json("/stripe/portal").get_json()["url"].startswith(membership.till.desk.address)


def test_change_shows_the_amount_then_changes_the_plan(membership: Membership, user: User, browser: Browser) -> None:
    membership.subscribed(user)
    shown = browser.get(f"/stripe/change?price={PATRON}")
    assert "$7.00" in shown.text
    assert "Pay and change plan" in shown.text
    at = re.findall(r'name="at" value="(\d+)"', shown.text)[0]
    assert browser.get(f"/stripe/change?price={PATRON}", headers=JSON).get_json()["due"] == "$7.00"
    answer = browser.submit("/stripe/change", {"price": PATRON, "at": at})
    assert answer.location == "/auth/account"
    assert "Your plan is now Patron." in follow_redirect(browser, answer)
    later = browser.get(f"/stripe/change?price={FRIEND}", headers=JSON).get_json()
    assert (later["kind"], later["due"]) == ("later", "$0.00")
    done = browser.post_json("/stripe/change", {"price": FRIEND, "at": str(later["at"])})
    assert done.get_json()["detail"].startswith("Your plan changes to Friend")
    assert "Next plan" in browser.get("/stripe/pricing").text


@pytest.mark.parametrize(
    "form", [{}, {"price": PATRON}, {"price": PATRON, "at": "soon"}, {"price": PATRON, "at": "१२३"}, {"at": "1"}]
)
def test_change_with_missing_fields_is_refused(
    membership: Membership, user: User, browser: Browser, form: dict[str, str]
) -> None:
    membership.subscribed(user)
    assert browser.post_json("/stripe/change", form).status_code == 422
    assert browser.submit("/stripe/change", form).location == "/stripe/pricing"
    assert membership.status(user).price == FRIEND


def test_change_with_a_declined_card_is_explained_on_the_pricing_page(
    membership: Membership, user: User, browser: Browser
) -> None:
    membership.subscribed(user, card="fails_later")
    at = browser.get(f"/stripe/change?price={PATRON}", headers=JSON).get_json()["at"]
    answer = browser.submit("/stripe/change", {"price": PATRON, "at": at})
    assert "Your card was declined. Your plan has not changed." in follow_redirect(browser, answer)


def test_change_with_3d_secure_links_to_the_page_to_confirm(
    membership: Membership, user: User, browser: Browser
) -> None:
    subscription = membership.till.subscribe(card="always_secure", client_reference_id=user.ref)
    membership.tell()
    at = browser.get(f"/stripe/change?price={PATRON}", headers=JSON).get_json()["at"]
    page = browser.submit("/stripe/change", {"price": PATRON, "at": at}).text
    asked = membership.till.latest_invoice(subscription["id"])["hosted_invoice_url"]
    assert "Confirm the payment with your bank" in page
    assert f'href="{asked}"' in page
    assert browser.post_json("/stripe/change", {"price": PATRON, "at": str(at)}).get_json()["url"] != asked


def test_change_without_a_plan_is_explained_on_the_pricing_page(browser: Browser) -> None:
    assert "Choose a plan first." in follow_redirect(browser, browser.get("/stripe/change"))
    assert "You have no subscription to change." in follow_redirect(
        browser, browser.get(f"/stripe/change?price={PATRON}")
    )


def test_invoices_are_listed_only_for_their_member(membership: Membership, user: User, browser: Browser) -> None:
    assert "No invoices yet." in text_of(browser, "/stripe/invoices")
    membership.subscribed(user)
    assert membership.one(LedgerEntry).amount == 500
    [invoice] = browser.get("/stripe/invoices", headers=JSON).get_json()["invoices"]
    assert (invoice["total"], invoice["state"]) == ("$5.00", "Paid")
    assert f'href="{invoice["hosted_url"]}"' in browser.get("/stripe/invoices").text
    other = membership.browser(membership.add("other@church.example"))
    assert other.get("/stripe/invoices", headers=JSON).get_json()["invoices"] == []


def test_account_page_shows_the_membership_status(membership: Membership, user: User, browser: Browser) -> None:
    assert "No subscription." in text_of(browser, "/auth/account")
    membership.subscribed(user, card="fails_later")
    page = browser.get("/auth/account")
    assert "Paid with Visa •••• 0341" in page.text
    assert f"form-action 'self' {membership.till.desk.address};" in page.headers["Content-Security-Policy"]
    membership.till.operate("clock", days="32")
    membership.tell()
    page = browser.get("/auth/account")
    assert "Payment failed; premium until" in page.text
    assert "Pay invoice" in page.text
    assert membership.as_signed_in(user).premium


def test_checkout_while_stripe_is_down_is_503_and_pages_still_work(membership: Membership, browser: Browser) -> None:
    membership.till.operate("knobs", api_down="on")
    answer = browser.submit("/stripe/checkout", {"price": FRIEND})
    assert answer.status_code == 503
    assert "The payment service is not responding." in answer.text
    assert "Retry-After" in answer.headers
    assert browser.get("/stripe/pricing").status_code == 200


def test_member_pages_redirect_strangers_to_sign_in(membership: Membership) -> None:
    stranger = membership.browser()
    for path in ("/stripe/success?session_id=x", f"/stripe/change?price={FRIEND}", "/stripe/invoices"):
        answer = stranger.get(path)
        assert answer.status_code == 303
        assert answer.location.startswith("/auth/login?next=%2Fstripe%2F")
        assert stranger.get(path, headers=JSON).status_code == 401


def test_refusal_by_stripe_is_logged_and_not_shown(membership: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StripeRefusedError("PermissionError", "line_items", 403)

    browser = membership.browser(membership.add())
    monkeypatch.setattr(membership.gateway, "call", refuse)
    with captured_log() as sink:
        answer = browser.submit("/stripe/checkout", {"price": FRIEND})
    assert answer.status_code == 502
    assert "PermissionError" not in answer.text
    [record] = [each for each in sink.records if each["event"] == "error.unavailable"]
    assert record["reason"] == "Stripe refused: PermissionError (line_items)"
