"""What the page shows on which Stripe sets down who has paid: it waits for the webhook, and grants nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from church.extensions import db
from church.models import Checkout
from church.models.checkout import CheckoutState
from church.services.billing.presenters import MembershipStatus, status_of


@dataclass(frozen=True)
class Arrival:
    """``state`` is waiting, done, pending (a slow payment), failed or expired."""

    state: str
    status: MembershipStatus


_ENDS = {
    CheckoutState.COMPLETED.value: "done",
    CheckoutState.PENDING.value: "pending",
    CheckoutState.FAILED.value: "failed",
    CheckoutState.EXPIRED.value: "expired",
}


def read_arrival(user_id: int, stripe_session: str) -> Arrival | None:
    """How the member's checkout stands by what the webhooks have told; None for a checkout that is not theirs."""
    query = select(Checkout.state).where(Checkout.stripe_session == stripe_session, Checkout.user_id == user_id)
    with db.read() as session:
        state = session.scalars(query).one_or_none()
    if state is None:
        return None
    status = status_of(user_id)
    if state == CheckoutState.OPEN and status.premium and status.price is not None:
        return Arrival("done", status)  # the event of the subscription came before that of its checkout
    return Arrival(_ENDS.get(state, "waiting"), status)
