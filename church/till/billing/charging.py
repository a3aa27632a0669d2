"""Record charges, successful or declined."""

from __future__ import annotations

from church.till.billing.cards import ACTION_REQUIRED, BY_NAME, Card, find_card
from church.till.desk import Till
from church.till.store import Obj

DECLINED_MESSAGE = "Your card was declined."


def record_charge(till: Till, intent: Obj, method: Obj | None) -> Obj:
    """Record a successful charge."""
    new_charge = _make_charge(till, intent, method)
    transaction = till.make(
        "balance_transaction",
        amount=intent["amount"],
        available_on=till.now,
        currency=intent["currency"],
        net=intent["amount"],
        source=new_charge["id"],
    )
    new_charge.update(
        amount_captured=intent["amount"],
        balance_transaction=till.add(transaction)["id"],
        captured=True,
        paid=True,
        status="succeeded",
        outcome=_outcome("authorized", "Payment complete."),
    )
    till.add(new_charge, "charge.succeeded")
    till.change(
        intent,
        "payment_intent.succeeded",
        amount_received=intent["amount"],
        last_payment_error=None,
        latest_charge=new_charge["id"],
        next_action=None,
        status="succeeded",
    )
    return new_charge


def record_failed_charge(till: Till, intent: Obj, method: Obj | None, result: str) -> None:
    """Record a payment that failed: ask for 3-D Secure, or store a failed charge."""
    if result == ACTION_REQUIRED:
        action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": None, "url": f"{till.address}/"}}
        till.change(intent, "payment_intent.requires_action", status="requires_action", next_action=action)
        return
    new_charge = _make_charge(till, intent, method)
    new_charge.update(
        failure_code=result,
        failure_message=DECLINED_MESSAGE,
        status="failed",
        outcome={**_outcome("issuer_declined", "The bank did not approve."), "reason": "generic_decline"},
    )
    till.add(new_charge, "charge.failed")
    error = {"type": "card_error", "code": result, "decline_code": "generic_decline", "message": DECLINED_MESSAGE}
    till.change(
        intent,
        "payment_intent.payment_failed",
        last_payment_error={**error, "charge": new_charge["id"]},
        latest_charge=new_charge["id"],
        status="requires_payment_method",
    )


def _make_charge(till: Till, intent: Obj, method: Obj | None) -> Obj:
    card = find_card(method) or BY_NAME["good"]
    return till.make(
        "charge",
        amount=intent["amount"],
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        payment_intent=intent["id"],
        payment_method=intent["payment_method"],
        payment_method_details={"type": "card", "card": _card_details(card)},
    )


def _card_details(card: Card) -> Obj:
    nulls = ["amount_authorized", "authorization_code", "installments", "mandate", "three_d_secure", "wallet"]
    return {
        **dict.fromkeys(nulls),
        "brand": "visa",
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "exp_month": 12,
        "exp_year": 2040,
        "fingerprint": f"till{card.last4}",
        "funding": "credit",
        "last4": card.last4,
        "network": "visa",
        "regulated_status": "unregulated",
    }


def _outcome(kind: str, message: str) -> Obj:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network" if kind == "authorized" else "declined_by_network",
        "reason": None,
        "seller_message": message,
        "type": kind,
    }
