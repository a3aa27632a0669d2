"""What a Checkout Session at Stripe means for the checkout that was started here."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from church.models import Checkout
from church.models.base import utc_now
from church.models.checkout import CheckoutState
from church.services.billing.stripe.client import Obj
from church.services.billing.stripe.objects import part, ref

_UNFINISHED = frozenset({CheckoutState.OPEN.value, CheckoutState.PENDING.value})
_PAID = frozenset({"paid", "no_payment_required"})


def settle_checkout(session: Session, found: Obj, *, payment_failed: bool) -> bool:
    """Bring our row of it up to date, in the caller's transaction; whether that changed something.

    What is finished stays so, whatever order the events come in. That a slow payment failed is said by its event
    alone (``payment_failed``): the session is complete and unpaid before and after.
    """
    ours = or_(Checkout.stripe_session == found["id"], Checkout.ref == part(found, "metadata", "church_checkout"))
    row = session.scalars(select(Checkout).where(ours).with_for_update()).first()
    if row is None or row.state not in _UNFINISHED:
        return False
    state = _state(found, payment_failed=payment_failed)
    if state.value == row.state:
        return False
    row.state, row.stripe_session = state.value, found["id"]
    row.stripe_subscription = ref(found.get("subscription"))
    row.finished_at = None if row.state in _UNFINISHED else utc_now()
    return True


def _state(found: Obj, *, payment_failed: bool) -> CheckoutState:
    if found.get("status") == "expired":
        return CheckoutState.EXPIRED
    if found.get("status") != "complete":
        return CheckoutState.OPEN
    if found.get("payment_status") in _PAID:
        return CheckoutState.COMPLETED
    return CheckoutState.FAILED if payment_failed else CheckoutState.PENDING
