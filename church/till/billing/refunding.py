"""Money that goes back: refunds, and disputes by the payer's bank."""

from __future__ import annotations

from church.till.billing.periods import DAY
from church.till.desk import Desk
from church.till.http.errors import TillError
from church.till.store import Obj

_CLOSED = ("won", "lost")


def refund(till: Desk, charge: Obj, amount: int | None, reason: str | None = None, **values: object) -> Obj:
    """Give back ``amount``, or all that is left. Raises TillError if there is not so much."""
    left = charge["amount"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise TillError("This charge did not succeed: it cannot be refunded.", "charge_not_refundable", "charge")
    if left == 0:
        raise TillError(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded", "charge")
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        raise TillError(
            f"Refund amount ({wanted}) is greater than unrefunded amount on charge ({left})", param="amount"
        )
    made = till.make(
        "refund",
        amount=wanted,
        charge=charge["id"],
        currency=charge["currency"],
        customer=charge["customer"],
        payment_intent=charge["payment_intent"],
        payment_method=charge["payment_method"],
        reason=reason,
        **values,
    )
    made["balance_transaction"] = _moved(till, charge, -wanted, made["id"], "refund")["id"]
    till.keep(made, "refund.created")
    gone = charge["amount_refunded"] + wanted
    till.change(charge, "charge.refunded", amount_refunded=gone, refunded=gone == charge["amount"])
    return made


def fail_refund(till: Desk, found: Obj) -> Obj:
    """The bank did not take it back: the money is ours again."""
    if found["status"] == "failed":
        raise TillError("This refund has failed already.")
    charge = till.get("charge", found["charge"])
    made = _moved(till, charge, found["amount"], found["id"], "refund_failure")
    found.update(failure_balance_transaction=None, failure_reason=None)
    till.change(charge, "charge.updated", amount_refunded=charge["amount_refunded"] - found["amount"], refunded=False)
    return till.change(
        found,
        "refund.failed",
        "charge.refund.updated",
        failure_balance_transaction=made["id"],
        failure_reason="lost_or_stolen_card",
        status="failed",
    )


def dispute(till: Desk, charge: Obj) -> Obj:
    """The payer's bank takes the money back until it is decided."""
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
    till.keep(made, "charge.dispute.created")
    till.change(charge, "charge.updated", disputed=True)
    taken = _moved(till, charge, -charge["amount"], made["id"], "adjustment")
    return till.change(made, "charge.dispute.funds_withdrawn", balance_transactions=[taken])


def decide(till: Desk, found: Obj, outcome: str) -> Obj:
    """``won``: the money comes back; ``lost``: it does not."""
    if outcome not in _CLOSED or found["status"] in _CLOSED:
        raise TillError("A dispute is won or lost, once.")
    till.change(found, "charge.dispute.closed", status=outcome)
    if outcome == "won":
        charge = till.get("charge", found["charge"])
        back = _moved(till, charge, found["amount"], found["id"], "adjustment")
        moved = [*found["balance_transactions"], back]
        till.change(found, "charge.dispute.funds_reinstated", balance_transactions=moved)
    return found


def _moved(till: Desk, charge: Obj, amount: int, source: str, kind: str) -> Obj:
    made = till.make(
        "balance_transaction",
        amount=amount,
        available_on=till.now,
        currency=charge["currency"],
        net=amount,
        reporting_category="dispute" if kind == "adjustment" else kind,
        source=source,
        type=kind,
    )
    return till.keep(made)
