"""Stripe's portal: the member's own, and refused without a customer."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from church.extensions import db
from church.models import Customer, User
from church.services import billing
from church.services.billing import portal as billing_portal
from church.services.sessions import SignedIn
from tests.support.membership_fixture import Membership

pytestmark = pytest.mark.sqlite_alone


def portal(membership: Membership, member: SignedIn) -> str:
    with membership.app.app_context():
        return billing.open_portal(member)


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
