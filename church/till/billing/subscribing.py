"""A subscription that begins and is billed, and what a payment, or the lack of one, makes of it."""

from __future__ import annotations

from church.till.billing import lines
from church.till.billing.cards import PAID
from church.till.billing.collecting import collect
from church.till.billing.invoicing import draft, issue
from church.till.billing.lines import only_item
from church.till.billing.periods import end_after, shift
from church.till.desk import Desk
from church.till.shapes import listed, plan_of
from church.till.store import Obj

UPDATED = "customer.subscription.updated"
ENDED = ("canceled", "incomplete_expired")


def start(
    till: Desk,
    customer: str,
    price: Obj,
    quantity: int,
    method: str | None,
    *,
    trial_end: int | None = None,
    discounts: list[Obj] | None = None,
    **values: object,
) -> Obj:
    """A subscription whose first invoice is paid by somebody who is there; with a trial it comes to nothing."""
    made = till.make(
        "subscription",
        billing_cycle_anchor=trial_end or till.now,
        currency=price["currency"],
        customer=customer,
        default_payment_method=method,
        start_date=till.now,
        status="trialing" if trial_end else "incomplete",
        trial_end=trial_end,
        trial_start=till.now if trial_end else None,
        discounts=[one["id"] for one in discounts or []],
        **values,
    )
    until = trial_end or end_after(till.now, till.now, *rhythm(price))
    made["items"] = _items(till, made["id"], price, quantity, until)
    till.keep(made, "customer.subscription.created")
    first = lines.trial if trial_end else lines.whole
    bill(till, made, [first(till, made, price, quantity, (till.now, until))], "subscription_create", present=True)
    return made


def _items(till: Desk, subscription: str, price: Obj, quantity: int, until: int) -> Obj:
    item = till.make(
        "subscription_item",
        current_period_start=till.now,
        current_period_end=until,
        plan=plan_of(price),
        price=price,
        quantity=quantity,
        subscription=subscription,
    )
    return listed([item], f"/v1/subscription_items?subscription={subscription}")


def rhythm(price: Obj) -> tuple[str, int]:
    """Interval and how many of them a period has."""
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def bill(till: Desk, subscription: Obj, parts: list[Obj], reason: str, *, present: bool = False) -> str:
    """Invoice these lines and try to take the money; says what the card said."""
    invoice = issue(till, draft(till, subscription, parts, reason, discounts_of(till, subscription)))
    said = collect(till, invoice, present=present, approved=present)
    settle(
        till, subscription, invoice, said, latest_invoice=invoice["id"], discounts=_left(till, subscription, invoice)
    )
    return said


def settle(till: Desk, subscription: Obj, invoice: Obj, said: str, **values: object) -> None:
    """What a payment, or the lack of one, makes of the subscription."""
    held = till.store.get(f"held_{invoice['id']}")
    if held is not None:
        if said == PAID:
            applied = {**held["values"], **values, "pending_update": None}
            till.change(subscription, "customer.subscription.pending_update_applied", pending_update=None)
            move(till, subscription, held["price"], held["quantity"], held["span"], **applied)
        return
    status = subscription["status"]
    if status not in ENDED:
        if said == PAID and status in {"incomplete", "past_due", "unpaid"}:
            status = "active" if not _owes(till, subscription, invoice) else status
        elif said != PAID and status in {"active", "trialing"}:
            status = "past_due"
    till.change(subscription, UPDATED, status=status, **values)


def _owes(till: Desk, subscription: Obj, but: Obj) -> bool:
    path = {"parent__subscription_details__subscription": subscription["id"], "status": "open"}
    return any(one["id"] != but["id"] for one in till.store.all("invoice", **path))


def discounts_of(till: Desk, subscription: Obj) -> list[Obj]:
    """The discounts that its next invoice has."""
    found = [till.get("discount", one) for one in subscription["discounts"]]
    return [one for one in found if one["end"] is None or one["end"] > till.now]


def _left(till: Desk, subscription: Obj, invoice: Obj) -> list[str]:
    """What is left of its discounts: one for one invoice is used up by the first from which it takes something."""
    used = {one["discount"] for one in invoice["total_discount_amounts"] if one["amount"]}
    found = {one["id"]: till.get("coupon", one["source"]["coupon"]) for one in discounts_of(till, subscription)}
    return [name for name, coupon in found.items() if coupon["duration"] != "once" or name not in used]


def move(till: Desk, subscription: Obj, price: Obj, quantity: int, span: tuple[int, int], **values: object) -> None:
    """Give the item a price and a period."""
    item = {
        **only_item(subscription),
        "current_period_start": span[0],
        "current_period_end": span[1],
        "plan": plan_of(price),
        "price": price,
        "quantity": quantity,
    }
    till.change(subscription, UPDATED, items={**subscription["items"], "data": [item]}, **values)


def take_pending(till: Desk, subscription: Obj) -> list[Obj]:
    """Lines that waited for the next invoice; they wait no longer."""
    waiting = till.store.get(f"pending_{subscription['id']}")
    till.store.put({"id": f"pending_{subscription['id']}", "object": "till.pending", "data": []})
    return list(waiting["data"]) if waiting else []


def leave_pending(till: Desk, subscription: Obj, parts: list[Obj]) -> None:
    """Let lines wait for the next invoice."""
    data = [*take_pending(till, subscription), *parts]
    till.store.put({"id": f"pending_{subscription['id']}", "object": "till.pending", "data": data})


def months_after(at: int, months: int) -> int:
    """For discounts that last some months."""
    return shift(at, "month", months)
