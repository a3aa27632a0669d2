"""Start and bill subscriptions, and update them when an invoice is paid or fails."""

from __future__ import annotations

from collections.abc import Sequence

from church.till.billing import lines
from church.till.billing.cards import PAID
from church.till.billing.collecting import collect_payment
from church.till.billing.invoicing import draft_invoice, finalize_invoice, hold_invoice
from church.till.billing.periods import add_interval, compute_period_end
from church.till.desk import Till
from church.till.shapes import make_legacy_plan, make_list
from church.till.store import Obj

UPDATED = "customer.subscription.updated"
ENDED = ("canceled", "incomplete_expired")


def start_subscription(
    till: Till,
    customer: str,
    price: Obj,
    quantity: int,
    method: str | None,
    *,
    wanted: Sequence[Obj] = (),
    trial_end: int | None = None,
    discounts: list[Obj] | None = None,
    **values: object,
) -> Obj:
    """Create a subscription and bill it to a payer who is present; with a trial the first invoice is zero.

    ``wanted`` are the items where there are several: each with its price, quantity and discounts.
    """
    subscription = till.make(
        "subscription",
        billing_cycle_anchor=trial_end or till.now,
        currency=values.pop("currency", None) or price["currency"],
        customer=customer,
        default_payment_method=method,
        start_date=till.now,
        status="trialing" if trial_end else "incomplete",
        trial_end=trial_end,
        trial_start=till.now if trial_end else None,
        discounts=[discount["id"] for discount in discounts or []],
        **values,
    )
    until = trial_end or compute_period_end(till.now, till.now, *get_interval(price))
    wanted = wanted or [{"price": price, "quantity": quantity, "discounts": []}]
    items = [make_item(till, subscription["id"], (till.now, until), **each) for each in wanted]
    subscription["items"] = make_list(items, f"/v1/subscription_items?subscription={subscription['id']}")
    till.add(subscription, "customer.subscription.created")
    first = lines.make_trial_line if trial_end else lines.make_period_line
    bill_subscription(
        till,
        subscription,
        [first(till, subscription, one["price"], one["quantity"], (till.now, until), one["id"]) for one in items],
        "subscription_create",
        present=True,
    )
    return subscription


def make_item(
    till: Till, subscription: str, span: tuple[int, int], price: Obj, quantity: int, discounts: list[str]
) -> Obj:
    """Make an item of a subscription for the period ``span``."""
    return till.make(
        "subscription_item",
        current_period_start=span[0],
        current_period_end=span[1],
        discounts=discounts,
        plan=make_legacy_plan(price),
        price=price,
        quantity=quantity,
        subscription=subscription,
    )


def get_interval(price: Obj) -> tuple[str, int]:
    """Return the interval of a price and the number of intervals in a period."""
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def bill_subscription(till: Till, subscription: Obj, parts: list[Obj], reason: str, *, present: bool = False) -> str:
    """Invoice these lines, charge the card and return the result.

    While collection is paused nothing is charged; a payer who pays by hand is sent the invoice.
    """
    draft = draft_invoice(till, subscription, parts, reason, list_discounts(till, subscription))
    if subscription["pause_collection"]:
        invoice = hold_invoice(till, draft, subscription["pause_collection"]["behavior"])
        till.change(subscription, UPDATED, latest_invoice=invoice["id"])
        return PAID
    invoice = finalize_invoice(till, draft)
    if subscription["collection_method"] == "send_invoice":
        till.emit("invoice.sent", invoice)
        is_new = subscription["status"] == "incomplete"
        status = "active" if is_new else subscription["status"]
        till.change(subscription, UPDATED, status=status, latest_invoice=invoice["id"])
        return PAID
    result = collect_payment(till, invoice, present=present, approved=present)
    update_after_payment(
        till,
        subscription,
        invoice,
        result,
        latest_invoice=invoice["id"],
        discounts=_remaining_discounts(till, subscription, invoice),
    )
    return result


def update_after_payment(till: Till, subscription: Obj, invoice: Obj, result: str, **values: object) -> None:
    """Update the subscription after its invoice was paid or failed."""
    held = till.store.get(f"held_{invoice['id']}")
    if held is not None:
        if result == PAID:
            applied = {**held["values"], **values, "pending_update": None}
            till.change(subscription, "customer.subscription.pending_update_applied", pending_update=None)
            set_items(till, subscription, held["items"], held["span"], **applied)
        return
    status = subscription["status"]
    if status not in ENDED:
        if result == PAID and status in {"incomplete", "past_due", "unpaid"}:
            status = "active" if not _has_other_open_invoice(till, subscription, invoice) else status
        elif result != PAID and status in {"active", "trialing"}:
            status = "past_due"
    till.change(subscription, UPDATED, status=status, **values)


def _has_other_open_invoice(till: Till, subscription: Obj, paid: Obj) -> bool:
    fields = {"parent__subscription_details__subscription": subscription["id"], "status": "open"}
    return any(invoice["id"] != paid["id"] for invoice in till.store.all("invoice", **fields))


def list_discounts(till: Till, subscription: Obj) -> list[Obj]:
    """Return the discounts of the subscription's next invoice: its own, or else the customer's."""
    discounts = [till.get("discount", identity) for identity in subscription["discounts"]]
    own = till.get("customer", subscription["customer"])["discount"]
    if not discounts and own is not None:
        discounts = [own]
    return [discount for discount in discounts if discount["end"] is None or discount["end"] > till.now]


def _remaining_discounts(till: Till, subscription: Obj, invoice: Obj) -> list[str]:
    """Return the ids of discounts that remain: one with duration ``once`` ends with the first invoice it reduces."""
    used = {entry["discount"] for entry in invoice["total_discount_amounts"] if entry["amount"]}
    coupons = {
        discount["id"]: till.get("coupon", discount["source"]["coupon"])
        for discount in list_discounts(till, subscription)
    }
    left = [identity for identity, coupon in coupons.items() if coupon["duration"] != "once" or identity not in used]
    return [identity for identity in left if identity in subscription["discounts"]]


def set_items(till: Till, subscription: Obj, items: list[Obj], span: tuple[int, int], **values: object) -> None:
    """Set the subscription's items, and the period of all of them."""
    data = [
        {
            **item,
            "current_period_start": span[0],
            "current_period_end": span[1],
            "plan": make_legacy_plan(item["price"]),
        }
        for item in items
    ]
    till.change(subscription, UPDATED, items={**subscription["items"], "data": data}, **values)


def take_pending_lines(till: Till, subscription: Obj) -> list[Obj]:
    """Return the pending lines for the next invoice, and clear them."""
    pending = till.store.get(f"pending_{subscription['id']}")
    till.store.put({"id": f"pending_{subscription['id']}", "object": "till.pending", "data": []})
    return list(pending["data"]) if pending else []


def add_pending_lines(till: Till, subscription: Obj, parts: list[Obj]) -> None:
    """Add lines to the next invoice."""
    data = [*take_pending_lines(till, subscription), *parts]
    till.store.put({"id": f"pending_{subscription['id']}", "object": "till.pending", "data": data})


def add_months(at: int, months: int) -> int:
    """Return the end of a discount that lasts some months."""
    return add_interval(at, "month", months)
