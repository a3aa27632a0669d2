"""A checkout whose slow payment is on its way: whether that came to nothing without our having heard of it."""

from __future__ import annotations

from church.services.billing import checkout_rows
from church.services.billing.errors import StripeRefusedError
from church.services.billing.stripe.client import Obj, gateway
from church.services.billing.stripe.objects import ENDED, part, ref
from church.services.billing.stripe.objects import rows as listed

_PAID = frozenset({"paid", "no_payment_required"})
_FAILED_INVOICE = frozenset({"void", "uncollectible"})
_FAILED_PAYMENT = frozenset({"requires_payment_method", "canceled"})
_INTENT = "payments.data.payment.payment_intent"


def slow_payment_failed(stripe_session: str) -> bool:
    """Ask Stripe, and close the checkout if so: else a webhook that never came would bar its member from buying.

    Raises StripeDownError, StripeRefusedError and the database's errors.
    """
    if not stripe_session:
        return False
    try:
        found = gateway().call("checkout.sessions.retrieve", stripe_session, expand=["subscription"])
        over = _payment_has_failed(found)
    except StripeRefusedError as error:
        if not error.is_missing:
            raise
        over = True
    if over:
        checkout_rows.fail_checkout(stripe_session)
    return over


def _payment_has_failed(found: Obj) -> bool:
    """A session is complete and unpaid both before and after its payment failed: the payment itself tells."""
    if found.get("status") != "complete":
        return found.get("status") == "expired"
    if found.get("payment_status") in _PAID:
        return False
    if part(found, "subscription", "status") in ENDED:
        return True
    invoice_id = ref(found.get("invoice"))
    if invoice_id is None:
        return False
    invoice = gateway().call("invoices.retrieve", invoice_id, expand=[_INTENT])
    tried = [part(one, "payment", "payment_intent", "status") for one in listed(invoice, "payments")]
    failed = bool(tried) and all(status in _FAILED_PAYMENT for status in tried)
    return invoice.get("status") in _FAILED_INVOICE or failed
