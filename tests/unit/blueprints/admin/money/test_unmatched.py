"""Payments without a member: listed, assigned and dismissed by an admin."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from church.models import User
from tests.support.accounts_fixture import audited
from tests.support.desk import AdminBrowser, call_in_context
from tests.support.people import client_of
from tests.support.stripe_fixture import SiteWithFakeStripe, make_event

ROOT = "/admin/membership/unmatched"


@pytest.fixture
def app(shop: SiteWithFakeStripe) -> Flask:
    """The site with the fake Stripe."""
    return shop.app


def pay(shop: SiteWithFakeStripe, email: str = '"<svg onload=x>"@example.org') -> None:
    """Pay for a plan as someone who is no member."""
    subscription = shop.stripe.subscription(shop.stripe.customer(None, email=email))
    shop.deliver(make_event("customer.subscription.created", subscription))


def test_payment_is_listed_with_payer_and_price(shop: SiteWithFakeStripe, desk: AdminBrowser) -> None:
    assert "Every payment has its member." in desk.get(ROOT).text
    pay(shop)
    page = desk.get(ROOT).text
    assert "&lt;svg onload=x&gt;" in page
    assert "<svg onload" not in page
    assert "patron, $12.00 a month" in page
    assert desk.data(ROOT)["counts"] == {"open": 1, "dismissed": 0, "ended": 0}
    assert "1 payment without a member" in desk.get("/admin/").text


def test_payment_is_assigned_by_the_form_on_the_page(shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User) -> None:
    """The page of the member says so; with two subscriptions, that there are two."""
    for count in (1, 2):
        pay(shop)
        (action,) = re.findall(rf'action="({ROOT}/\d+/assign)"', desk.get(ROOT).text)
        found = desk.send(action, member="ADA@church.example")
        assert (found.status_code, found.headers["Location"]) == (303, f"/admin/members/{ada.ref}")
        page = desk.get(f"/admin/members/{ada.ref}").text
        assert "Payment assigned." in page
        assert ("This member now has 2 subscriptions." in page) is (count == 2)
        assert "Has premium access." in page
    assert call_in_context(shop.app, audited) == ["payment.assigned"] * 2
    assert desk.send(action, member=ada.ref).status_code == 404


def test_payment_assigned_to_no_member_shows_the_error_at_its_field(
    shop: SiteWithFakeStripe, desk: AdminBrowser
) -> None:
    pay(shop)
    (action,) = re.findall(rf'action="({ROOT}/\d+/assign)"', desk.get(ROOT).text)
    for member, words in (("nobody@church.example", "No account has this"), ("", "Enter")):
        found = desk.send(action, member=member)
        assert found.status_code == 422
        assert '<details class="confirm" open>' in found.text
        (field,) = re.findall(r'href="#(p\d+-member)"', found.text)
        assert f'id="{field}"' in found.text
        if words != "Enter":
            assert words in found.text
    answer = desk.tell(action, {"member": "nobody"})
    assert (answer.status_code, set(answer.json["errors"])) == (422, {"member"})  # type: ignore[index]


def test_payment_is_dismissed_by_the_button_on_the_page(shop: SiteWithFakeStripe, desk: AdminBrowser) -> None:
    pay(shop)
    (action,) = re.findall(rf'action="({ROOT}/\d+/dismiss)"', desk.get(ROOT).text)
    found = desk.send(action)
    assert (found.status_code, found.headers["Location"]) == (303, ROOT)
    page = desk.get(ROOT).text
    assert "Payment dismissed." in page
    assert "/dismiss" not in page
    assert (desk.send(action).status_code, desk.data(f"{ROOT}?state=open")["payments"]["rows"]) == (409, [])
    assert call_in_context(shop.app, audited) == ["payment.dismissed"]
    assert "without a member" not in desk.get("/admin/").text


def test_member_cannot_take_a_payment(shop: SiteWithFakeStripe, ada: User) -> None:
    pay(shop)
    client = client_of(shop.app, ada)
    assert client.post(f"{ROOT}/1/assign", json={"member": ada.ref}).status_code == 403
    assert call_in_context(shop.app, audited) == []
