"""Stripe's invoices in the words of our table: pure, and content with fields that are missing."""

from __future__ import annotations

from typing import Any

from church.services.billing.stripe.client import Obj
from church.services.billing.stripe.objects import first_moment, link, moment, part, ref, rows


def subscription_of_invoice(invoice: Obj) -> str | None:
    """The subscription that an invoice is for; where older versions of the API have it, too."""
    return ref(part(invoice, "parent", "subscription_details", "subscription")) or ref(invoice.get("subscription"))


def invoice_values(obj: Obj) -> dict[str, Any]:
    """Columns of ``Invoice`` but for whose it is."""
    return {
        "stripe_subscription": subscription_of_invoice(obj),
        "number": obj.get("number"),
        "status": str(obj.get("status")),
        "billing_reason": obj.get("billing_reason"),
        "currency": str(obj.get("currency")),
        "total": obj.get("total") or 0,
        "amount_due": obj.get("amount_due") or 0,
        "amount_paid": obj.get("amount_paid") or 0,
        "amount_remaining": obj.get("amount_remaining") or 0,
        "attempts": obj.get("attempt_count") or 0,
        "problem": _problem(obj),
        "hosted_url": link(obj.get("hosted_invoice_url")),
        "pdf_url": link(obj.get("invoice_pdf")),
        "created_at": first_moment(obj.get("created")),
        "paid_at": moment(part(obj, "status_transitions", "paid_at")),
        "next_attempt_at": moment(obj.get("next_payment_attempt")),
    }


def _problem(obj: Obj) -> str | None:
    if obj.get("status") == "draft":
        error = obj.get("last_finalization_error")
        return str(part(error, "code") or part(error, "type") or "finalization_failed") if error else None
    if obj.get("status") != "open":
        return None
    intents = (part(payment, "payment", "payment_intent", "status") for payment in rows(obj, "payments"))
    if "requires_action" in intents:
        return "action_required"
    return "payment_failed" if obj.get("attempt_count") else None
