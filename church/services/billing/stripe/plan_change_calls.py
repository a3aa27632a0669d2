"""Stripe calls that preview and make a change of plan. They are idempotent, so they need no key.

Sources: https://docs.stripe.com/billing/subscriptions/prorations, .../subscription-schedules, .../pending-updates.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from church.errors import ConflictError, UnavailableError
from church.models import Price, Subscription
from church.services.billing.errors import StripeDownError, StripeRefusedError
from church.services.billing.stripe.apply_to_database import refresh_subscription
from church.services.billing.stripe.client import StripeObject, gateway
from church.services.billing.stripe.objects import get_id, get_list, get_nested, link, to_datetime

log = logging.getLogger("church.stripe")

_LOST = "Your scheduled change was cancelled and your plan stays the same. Choose a plan again."
_LOST_DECLINED = f"Your card was declined. {_LOST}"
_UNKNOWN = "The payment service is not responding. Check your account in a minute: "
_MAYBE_DONE = f"{_UNKNOWN}the change may have been made."
_MAYBE_GONE = f"{_UNKNOWN}the change may have been made, and your scheduled change may be cancelled."

_CHALLENGED = frozenset({
    "subscription_payment_intent_requires_action", "invoice_payment_intent_requires_action", "authentication_required",
})  # fmt: skip
"""Refusals because the bank wants 3-D Secure: the payment works once the member has confirmed it."""


class ChangeLostError(ConflictError):
    """A change was refused, and the change scheduled before could not be restored."""

    def __init__(self, *, by_card: bool) -> None:
        super().__init__(_LOST_DECLINED if by_card else _LOST)


@dataclass(frozen=True)
class ChangeCost:
    """Cost of a change now, in minor units of ``currency``; ``credit`` is deducted from later invoices."""

    due: int
    credit: int
    currency: str
    renews: datetime | None


def preview(row: Subscription, stripe_price: str, at: int) -> ChangeCost:
    """Ask Stripe what changing at the time ``at`` costs. In a trial it is free, because nothing was paid."""
    if row.status == "trialing":
        return ChangeCost(0, 0, row.currency, row.trial_end)
    found = gateway().call(
        "invoices.create_preview",
        subscription=row.stripe_id,
        subscription_details={
            "items": [_item(row, stripe_price)],
            "proration_behavior": "always_invoice",
            "proration_date": at,
        },
    )
    charged = [line for line in get_list(found, "lines") if (line.get("amount") or 0) > 0]
    ends = [to_datetime(get_nested(line, "period", "end")) for line in charged]
    total = int(found.get("total") or 0)
    return ChangeCost(
        due=int(found.get("amount_due") or 0),
        credit=max(0, -total),
        currency=str(found.get("currency") or row.currency),
        renews=max(filter(None, ends), default=None),
    )


def preview_renewal(row: Subscription, stripe_price: str) -> int | None:
    """Ask Stripe what each period takes with this price, with discounts, tax and all other items; None if it can't say.

    For a change with the next period too, which Stripe previews as if it were made now.
    """
    details = {"items": [_item(row, stripe_price)], "proration_behavior": "none"}
    try:
        found = gateway().call(
            "invoices.create_preview",
            subscription=row.stripe_id,
            subscription_details=details,
            preview_mode="recurring",
        )
    except (StripeRefusedError, StripeDownError):
        return None
    total = found.get("total")
    return total if isinstance(total, int) and found.get("currency", row.currency) == row.currency else None


def move_now(row: Subscription, stripe_price: str, at: int, former: Price | None) -> str | None:
    """Change the plan at once and charge the difference. A declined card changes nothing (a refusal with status 402).

    Where the bank wants 3-D Secure, the change waits for up to a day; then returns the address of the page where the
    member confirms. ``former`` is the price scheduled so far. Raises ChangeLostError and Stripe's errors.
    """
    with _without_schedule(row, former):
        try:
            _move(row, stripe_price, at, "error_if_incomplete")
        except StripeRefusedError as error:
            if error.code not in _CHALLENGED:
                raise
            found = _move(row, stripe_price, at, "pending_if_incomplete", expand=["latest_invoice"])
            if not found.get("pending_update"):
                return None  # the bank accepted it this time
            address = link(get_nested(found, "latest_invoice", "hosted_invoice_url"))
            if address is None:
                raise
            return address
    return None


def _move(row: Subscription, stripe_price: str, at: int, unpaid: str, **more: Any) -> StripeObject:
    in_trial = row.status == "trialing"
    when: StripeObject = {"proration_behavior": "none"} if in_trial else {
        "proration_behavior": "always_invoice",
        "proration_date": at,
    }  # fmt: skip
    items = [_item(row, stripe_price)]
    return gateway().call("subscriptions.update", row.stripe_id, items=items, payment_behavior=unpaid, **when, **more)


def move_later(row: Subscription, price: Price, former: Price | None) -> None:
    """Change the plan when the period ends, instead of to ``former``. Raises as an immediate change does."""
    with _without_schedule(row, former):
        _schedule(row, price)


def end_with_period(stripe_subscription: str) -> None:
    """Have a subscription end when its period does, and store that. A schedule would prevent it, and is released."""
    found = gateway().call("subscriptions.retrieve", stripe_subscription)
    if schedule := get_id(found.get("schedule")):
        gateway().call("subscription_schedules.release", schedule)
    gateway().call("subscriptions.update", stripe_subscription, cancel_at_period_end=True)
    refresh_subscription(stripe_subscription)


def keep_plan(row: Subscription) -> None:
    """Cancel a scheduled change."""
    _release(row)


@contextmanager
def _without_schedule(row: Subscription, former: Price | None) -> Iterator[None]:
    """Release the schedule, which blocks other changes, and restore it if the change is refused."""
    _release(row)
    try:
        yield
    except StripeRefusedError as error:
        if former is not None and row.stripe_schedule is not None and not _restore(row, former):
            raise ChangeLostError(by_card=error.http_status == 402) from error
        raise
    except StripeDownError as error:
        lost = former is not None and row.stripe_schedule is not None
        raise StripeDownError(_MAYBE_GONE if lost else _MAYBE_DONE) from error  # and nothing can be restored


def _restore(row: Subscription, former: Price) -> bool:
    try:
        _schedule(row, former)
    except (StripeRefusedError, UnavailableError) as error:
        fields = {"stripe_id": row.stripe_id, "reason": error.reason}
        log.warning("scheduled change lost", extra={"event": "stripe.change_lost", **fields})
        return False
    return True


def _schedule(row: Subscription, price: Price) -> None:
    """Schedule the change for the end of the period; the schedule is released after it."""
    made = gateway().call("subscription_schedules.create", from_subscription=row.stripe_id)
    try:
        gateway().call(
            "subscription_schedules.update", made["id"], end_behavior="release", phases=_phases(row, price, made)
        )
    except StripeRefusedError:
        gateway().call("subscription_schedules.release", made["id"])  # an empty schedule would block other changes
        raise


def _phases(row: Subscription, price: Price, made: StripeObject) -> list[StripeObject]:
    """Build the phases: the current items until the period ends, then ``price`` in place of the plan's."""
    running: StripeObject = made["phases"][0]
    discounts = _discounts(running)
    return [
        {
            "items": _phase_items(row, running, str(row.stripe_price)),
            "start_date": running["start_date"],
            "end_date": running["end_date"],
            **discounts,
        },
        {
            "items": _phase_items(row, running, price.stripe_id),
            "duration": {"interval": price.interval, "interval_count": price.interval_count},
            "proration_behavior": "none",
            **discounts,
        },
    ]


def _phase_items(row: Subscription, running: StripeObject, stripe_price: str) -> list[StripeObject]:
    """Return all items of the running phase, with ``stripe_price`` for the plan's: an item left out would end."""
    found = [
        {"price": get_id(item.get("price")), "quantity": item.get("quantity"), **_discounts(item), **_tax_rates(item)}
        for item in running.get("items") or []
    ]
    own = next((item for item in found if item["price"] == row.stripe_price), None)
    if own is None:
        own = {"quantity": row.quantity}
        found.append(own)
    own["price"] = stripe_price
    return [{name: value for name, value in item.items() if value is not None} for item in found]


def _tax_rates(item: StripeObject) -> dict[str, Any]:
    ids = [get_id(rate) for rate in item.get("tax_rates") or []]
    return {"tax_rates": ids} if any(ids) else {}


def _item(row: Subscription, stripe_price: str) -> StripeObject:
    return {"id": row.stripe_item, "price": stripe_price, "quantity": row.quantity}


def _release(row: Subscription) -> None:
    if row.stripe_schedule is not None:
        gateway().call("subscription_schedules.release", row.stripe_schedule)


def _discounts(phase: StripeObject) -> dict[str, Any]:
    """Return the discounts of the running phase or of its item: phases without them would lose them."""
    ids = [get_id(discount.get("discount")) for discount in phase.get("discounts") or []]
    return {"discounts": [{"discount": stripe_id} for stripe_id in ids if stripe_id]} if any(ids) else {}
