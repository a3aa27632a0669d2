"""Make an invoice from its lines: discounts, the customer's balance, totals, then number and finalization."""

from __future__ import annotations

from decimal import Decimal

from church.till.billing.amounts import round_amount
from church.till.billing.periods import DAY
from church.till.desk import Till
from church.till.shapes import make_list
from church.till.store import Obj


def draft_invoice(till: Till, subscription: Obj, lines: list[Obj], reason: str, discounts: list[Obj]) -> Obj:
    """Create a draft invoice of these lines, not stored yet. A preview is such a draft."""
    customer = till.get("customer", subscription["customer"])
    item = subscription["items"]["data"][0]
    invoice = till.make(
        "invoice",
        billing_reason=reason,
        currency=subscription["currency"],
        customer=customer["id"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        collection_method=subscription["collection_method"],
        default_payment_method=None,
        due_date=_due_date(till, subscription),
        discounts=[discount["id"] for discount in discounts],
        metadata={},
        parent=_parent(subscription),
        period_start=item["current_period_start"],
        period_end=item["current_period_end"] if reason == "upcoming" else till.now,
        starting_balance=customer["balance"],
    )
    for item in subscription["items"]["data"]:
        own = [line for line in lines if line["parent"]["subscription_item_details"]["subscription_item"] == item["id"]]
        _apply_discounts(
            till, own, [till.get("discount", name) for name in item["discounts"]], subscription["currency"]
        )
    _apply_discounts(till, lines, discounts, subscription["currency"])
    for line in lines:
        line["invoice"] = invoice["id"]
    invoice["lines"] = make_list(lines, f"/v1/invoices/{invoice['id']}/lines")
    _set_totals(invoice, lines)
    return invoice


def _due_date(till: Till, subscription: Obj) -> int | None:
    if subscription["collection_method"] != "send_invoice":
        return None
    return till.now + (subscription["days_until_due"] or 0) * DAY


def _parent(subscription: Obj) -> Obj:
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    return {"type": "subscription_details", "quote_details": None, "subscription_details": details}


def compute_discount(amount: int, coupon: Obj, currency: str) -> int:
    """Return the discount that ``coupon`` gives on ``amount``."""
    if coupon["percent_off"] is not None:
        return round_amount(amount * _decimal(coupon["percent_off"]) / 100, currency)
    return int(min(amount, coupon["amount_off"])) if coupon["currency"] == currency else 0


def _decimal(percent: float) -> Decimal:
    return Decimal(str(percent))


def _apply_discounts(till: Till, lines: list[Obj], discounts: list[Obj], currency: str) -> None:
    """Apply discounts in order, each to what the earlier ones left of the discountable lines it applies to."""
    for discount in discounts:
        coupon = till.get("coupon", discount["source"]["coupon"])
        products = get_applies_to(till, coupon)["products"]
        left = coupon["amount_off"]
        for line in lines:
            is_meant = not products or line["pricing"]["price_details"]["product"] in products
            if line["discountable"] and line["amount"] > 0 and is_meant:
                rest = line["amount"] - sum(entry["amount"] for entry in line["discount_amounts"])
                discounted = compute_discount(
                    rest, coupon if left is None else {**coupon, "amount_off": left}, currency
                )
                left = None if left is None else left - discounted
                line["discounts"].append(discount["id"])
                line["discount_amounts"].append({"amount": discounted, "discount": discount["id"]})


def get_applies_to(till: Till, coupon: Obj) -> Obj:
    """Return the products that a coupon is limited to; none where it applies to all."""
    found = till.store.get(f"applies_to_{coupon['id']}")
    return {"products": list(found["data"]) if found else []}


def _set_totals(invoice: Obj, lines: list[Obj]) -> None:
    discounted: dict[str, int] = {}
    for line in lines:
        for entry in line["discount_amounts"]:
            discounted[entry["discount"]] = discounted.get(entry["discount"], 0) + entry["amount"]
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal - sum(discounted.values())
    due = max(0, total + invoice["starting_balance"])
    invoice["total_discount_amounts"] = [{"amount": amount, "discount": name} for name, amount in discounted.items()]
    invoice.update(subtotal=subtotal, subtotal_excluding_tax=subtotal, total=total, total_excluding_tax=total)
    invoice.update(amount_due=due, amount_remaining=due)


def finalize_invoice(till: Till, invoice: Obj) -> Obj:
    """Number and finalize an invoice. Unused credit stays in the customer's balance."""
    customer = till.get("customer", invoice["customer"])
    number = customer["next_invoice_sequence"]
    till.add(invoice, "invoice.created")
    balance = min(0, invoice["total"] + invoice["starting_balance"])
    till.change(customer, "customer.updated", balance=balance)
    till.change(customer, next_invoice_sequence=number + 1, currency=invoice["currency"])
    return till.change(
        invoice,
        "invoice.finalized",
        effective_at=till.now,
        ending_balance=balance,
        hosted_invoice_url=f"{till.address}/invoice/{invoice['id']}",
        number=f"{customer['invoice_prefix']}-{number:04d}",
        status="open",
        status_transitions={**invoice["status_transitions"], "finalized_at": till.now},
        webhooks_delivered_at=till.now,
    )


def hold_invoice(till: Till, draft: Obj, behaviour: str) -> Obj:
    """Store an invoice that is not collected, because collection is paused: as a draft, void or uncollectible."""
    if behaviour == "keep_as_draft":
        return till.add({**draft, "auto_advance": False}, "invoice.created")
    invoice = finalize_invoice(till, draft)
    status, moment = ("void", "voided_at") if behaviour == "void" else ("uncollectible", "marked_uncollectible_at")
    event = "invoice.voided" if behaviour == "void" else "invoice.marked_uncollectible"
    transitions = {**invoice["status_transitions"], moment: till.now}
    return till.change(invoice, event, status=status, status_transitions=transitions)
