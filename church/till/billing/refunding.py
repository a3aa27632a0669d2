"""Refund charges, and open and close disputes."""

from __future__ import annotations

from church.till.billing.periods import DAY
from church.till.desk import Till
from church.till.http.errors import TillError
from church.till.store import Obj

_CLOSED = ("won", "lost")


def refund_charge(till: Till, charge: Obj, amount: int | None, reason: str | None = None, **values: object) -> Obj:
    """Refund ``amount``, or all that is left. Raises TillError if less is left."""
    left = charge["amount"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise TillError("This charge did not succeed: it cannot be refunded.", "charge_not_refundable", "charge")
    if left == 0:
        raise TillError(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded", "charge")
    requested = left if amount is None else amount
    if not 0 < requested <= left:
        raise TillError(
            f"Refund amount ({requested}) is greater than unrefunded amount on charge ({left})", param="amount"
        )
    made = till.make(
        "refund",
        amount=requested,
        charge=charge["id"],
        currency=charge["currency"],
        customer=charge["customer"],
        payment_intent=charge["payment_intent"],
        payment_method=charge["payment_method"],
        reason=reason,
        **values,
    )
    made["balance_transaction"] = _add_transaction(till, charge, -requested, made["id"], "refund")["id"]
    till.add(made, "refund.created")
    total = charge["amount_refunded"] + requested
    till.change(charge, "charge.refunded", amount_refunded=total, refunded=total == charge["amount"])
    return made


def fail_refund(till: Till, refund: Obj) -> Obj:
    """Fail a refund, as if the payer's bank rejected it: the money returns to the site."""
    if refund["status"] == "failed":
        raise TillError("This refund has failed already.")
    charge = till.get("charge", refund["charge"])
    made = _add_transaction(till, charge, refund["amount"], refund["id"], "refund_failure")
    refund.update(failure_balance_transaction=None, failure_reason=None)
    till.change(charge, "charge.updated", amount_refunded=charge["amount_refunded"] - refund["amount"], refunded=False)
    return till.change(
        refund,
        "refund.failed",
        "charge.refund.updated",
        failure_balance_transaction=made["id"],
        failure_reason="lost_or_stolen_card",
        status="failed",
    )


def open_dispute(till: Till, charge: Obj) -> Obj:
    """Open a dispute: the payer's bank takes the money back until the dispute is closed."""
    if charge["disputed"] or charge["status"] != "succeeded":
        raise TillError("Only a charge that succeeded can be disputed, and only once.")
    made = till.make(
        "dispute",
        amount=charge["amount"],
        charge=charge["id"],
        currency=charge["currency"],
        payment_intent=charge["payment_intent"],
        payment_method_details={
            "type": "card",
            "card": {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"},
        },
        reason="fraudulent",
    )
    made["evidence_details"]["due_by"] = till.now + 7 * DAY
    till.add(made, "charge.dispute.created")
    till.change(charge, "charge.updated", disputed=True)
    taken = _add_transaction(till, charge, -charge["amount"], made["id"], "adjustment")
    return till.change(made, "charge.dispute.funds_withdrawn", balance_transactions=[taken])


def close_dispute(till: Till, dispute: Obj, outcome: str) -> Obj:
    """Close a dispute as ``won``, which returns the money, or ``lost``."""
    if outcome not in _CLOSED or dispute["status"] in _CLOSED:
        raise TillError("A dispute is won or lost, once.")
    till.change(dispute, "charge.dispute.closed", status=outcome)
    if outcome == "won":
        charge = till.get("charge", dispute["charge"])
        back = _add_transaction(till, charge, dispute["amount"], dispute["id"], "adjustment")
        transactions = [*dispute["balance_transactions"], back]
        till.change(dispute, "charge.dispute.funds_reinstated", balance_transactions=transactions)
    return dispute


def _add_transaction(till: Till, charge: Obj, amount: int, source: str, kind: str) -> Obj:
    transaction = till.make(
        "balance_transaction",
        amount=amount,
        available_on=till.now,
        currency=charge["currency"],
        net=amount,
        reporting_category="dispute" if kind == "adjustment" else kind,
        source=source,
        type=kind,
    )
    return till.add(transaction)
