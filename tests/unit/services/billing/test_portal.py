"""Stripe's portal: the member's own, and refused without a customer."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from church.extensions import db
from church.models import Customer, Subscription, User
from church.services import billing
from church.services.billing import portal as billing_portal
from church.services.sessions import SignedIn
from tests.support.membership_fixture import PATRON, Membership

pytestmark = pytest.mark.sqlite_alone


def portal(membership: Membership, member: SignedIn, subscription: str | None = None) -> str:
    with membership.app.app_context():
        return billing.open_portal(member, subscription)


def test_portal_is_the_members_own_and_returns_to_the_account(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    page = membership.till.get(portal(membership, member).removeprefix(membership.till.desk.address))[2]
    assert "Friend" in page
    assert f'href="{membership.settings.origin}/auth/account"' in page


def test_portal_without_a_customer_is_refused(membership: Membership, user: User) -> None:
    with pytest.raises(billing_portal.NoCustomerError):
        portal(membership, membership.as_signed_in(user))
    assert "billing_portal.sessions.create" not in membership.calls


def test_portal_of_a_customer_missing_at_stripe_is_refused_and_not_tried_again(
    membership: Membership, user: User
) -> None:
    member = membership.subscribed(user)
    with membership.app.app_context(), db.write() as session:
        session.execute(update(Customer).values(stripe_id="cus_gone"))
    for _ in range(2):
        with pytest.raises(billing_portal.NoCustomerError):
            portal(membership, member)
    assert membership.calls.count("billing_portal.sessions.create") == 1


def test_portal_for_one_subscription_asks_whether_to_cancel_that(membership: Membership, user: User) -> None:
    member = membership.subscribed(user)
    [row] = membership.rows(Subscription)
    customer = membership.one(Customer).stripe_id
    card = membership.till.stripe.v1.payment_methods.list({"customer": customer}).data[0].id
    made = membership.till.stripe.v1.subscriptions.create(
        {"customer": customer, "items": [{"price": PATRON}], "default_payment_method": card}
    )
    membership.tell()
    address = portal(membership, member, made.id)
    page = membership.till.get(address.removeprefix(membership.till.desk.address))[2]
    assert made.id in page
    assert row.stripe_id not in page
    membership.till.stripe.v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    assert portal(membership, member, made.id)  # it ends already: the portal's start page can resume it
    other = membership.subscribed(membership.add("bob@church.example"))
    for stranger, name in ((other, row.stripe_id), (member, "sub_none")):
        with pytest.raises(billing_portal.UnknownSubscriptionError):
            portal(membership, stranger, name)
