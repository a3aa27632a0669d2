"""Stripe's portal, the result of a checkout, and the open checkouts of a deleted account."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from church.extensions import db
from church.models import Checkout, Customer, Job, User
from church.models.billing import CheckoutState
from church.services import billing
from church.services.accounts import deletion
from church.services.billing import account_data
from church.services.billing import portal as billing_portal
from church.services.sessions import SignedIn
from tests.support.membership_fixture import Membership

pytestmark = pytest.mark.sqlite_alone


@pytest.fixture
def user(membership: Membership) -> User:
    return membership.add()


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


def test_arrival_waits_for_the_webhook_and_is_only_for_its_member(membership: Membership, user: User) -> None:
    other = membership.add("other@church.example")
    session = membership.start(membership.as_signed_in(user))
    membership.pay(session)
    with membership.app.app_context():
        found = billing.read_checkout_result(user.id, session)
        assert found is not None
        assert (found.state, found.status.premium) == ("waiting", False)
        assert billing.read_checkout_result(other.id, session) is None
        assert billing.read_checkout_result(user.id, "cs_of_nobody") is None
    membership.tell()
    with membership.app.app_context():
        found = billing.read_checkout_result(user.id, session)
    assert found is not None
    assert (found.state, found.status.premium) == ("done", True)


@pytest.mark.parametrize(("state", "shown"), [("pending", "pending"), ("failed", "failed"), ("expired", "expired")])
def test_arrival_shows_the_result_of_the_checkout(membership: Membership, user: User, state: str, shown: str) -> None:
    session = membership.start(membership.as_signed_in(user))
    with membership.app.app_context():
        with db.write() as database:
            database.execute(update(Checkout).values(state=CheckoutState(state).value))
        found = billing.read_checkout_result(user.id, session)
    assert found is not None
    assert found.state == shown


def leave(membership: Membership, user: User) -> None:
    """Delete the account, and run the jobs queued for its checkouts."""
    with membership.app.app_context():
        with db.write() as session:
            deletion.empty_account(session, session.get_one(User, user.id))
        for job in membership.rows(Job):
            if job.kind == "billing.abandon":
                account_data.expire_checkout(job.payload)


def test_open_checkout_of_a_deleted_account_is_expired(membership: Membership, user: User) -> None:
    session = membership.start(membership.as_signed_in(user))
    leave(membership, user)
    assert membership.till.stripe.v1.checkout.sessions.retrieve(session).status == "expired"
    assert membership.pay(session) == 409
    membership.tell()
    assert membership.one(Checkout).state == "expired"


def test_checkout_paid_during_the_deletion_is_left_to_its_webhook(membership: Membership, user: User) -> None:
    session = membership.start(membership.as_signed_in(user))
    membership.pay(session)
    leave(membership, user)
    assert {answer.status_code for answer in membership.tell()} == {200}
    assert "billing.cancel" in {job.kind for job in membership.rows(Job)}
