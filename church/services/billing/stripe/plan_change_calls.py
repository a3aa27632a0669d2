"""How a change of plan is asked for at Stripe. Asked for twice it changes nothing more, so it needs no key.

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
from church.services.billing.stripe.client import Obj, gateway
from church.services.billing.stripe.objects import link, moment, part, ref, rows

log = logging.getLogger("church.stripe")

_LOST = "Your scheduled change was cancelled and your plan stays the same. Choose a plan again."
_LOST_BY_CARD = f"Your card was declined. {_LOST}"
_UNSURE = "The payment service is not responding. Check your membership in a minute: "
_MAYBE_DONE = f"{_UNSURE}the change may have been made."
_MAYBE_GONE = f"{_UNSURE}the change may have been made, and your scheduled change may be cancelled."

_CHALLENGED = frozenset({
    "subscription_payment_intent_requires_action", "invoice_payment_intent_requires_action", "authentication_required",
})  # fmt: skip
"""Codes of a refusal that is none: the bank asks for 3-D Secure, and nobody was there to be asked."""


class ChangeLostError(ConflictError):
    """A change was refused, and the one that was to come before it could not be put back."""

    def __init__(self, *, by_card: bool) -> None:
        super().__init__(_LOST_BY_CARD if by_card else _LOST)


@dataclass(frozen=True)
class Weighed:
    """What a change costs now, in minor units of ``currency``; ``credit`` is what is kept for later invoices."""

    due: int
    credit: int
    currency: str
    renews: datetime | None


def preview(row: Subscription, stripe_price: str, at: int) -> Weighed:
    """What changing at the moment ``at`` costs. In a trial that is nothing, for nothing was paid."""
    if row.status == "trialing":
        return Weighed(0, 0, row.currency, row.trial_end)
    found = gateway().call(
        "invoices.create_preview",
        subscription=row.stripe_id,
        subscription_details={
            "items": [_item(row, stripe_price)],
            "proration_behavior": "always_invoice",
            "proration_date": at,
        },
    )
    charged = [line for line in rows(found, "lines") if (line.get("amount") or 0) > 0]
    ends = [moment(part(line, "period", "end")) for line in charged]
    total = int(found.get("total") or 0)
    return Weighed(
        due=int(found.get("amount_due") or 0),
        credit=max(0, -total),
        currency=str(found.get("currency") or row.currency),
        renews=max(filter(None, ends), default=None),
    )


def move_now(row: Subscription, stripe_price: str, at: int, former: Price | None) -> str | None:
    """Change at once and pay the difference; if the card does not, nothing changes (a refusal with status 402).

    Where the bank wants to hear it from the member, the change waits for that, a day at most: then the address is
    given of the page on which they confirm. ``former`` is what was to come so far. Raises ChangeLostError beside what
    Stripe raises, as ``move_later`` does.
    """
    with _in_place_of(row, former):
        try:
            _move(row, stripe_price, at, "error_if_incomplete")
        except StripeRefusedError as error:
            if error.code not in _CHALLENGED:
                raise
            found = _move(row, stripe_price, at, "pending_if_incomplete", expand=["latest_invoice"])
            if not found.get("pending_update"):
                return None  # the bank was content this time
            address = link(part(found, "latest_invoice", "hosted_invoice_url"))
            if address is None:
                raise
            return address
    return None


def _move(row: Subscription, stripe_price: str, at: int, unpaid: str, **more: Any) -> Obj:
    in_trial = row.status == "trialing"
    when: Obj = {"proration_behavior": "none"} if in_trial else {
        "proration_behavior": "always_invoice",
        "proration_date": at,
    }  # fmt: skip
    items = [_item(row, stripe_price)]
    return gateway().call("subscriptions.update", row.stripe_id, items=items, payment_behavior=unpaid, **when, **more)


def move_later(row: Subscription, price: Price, former: Price | None) -> None:
    """Change when the period ends, in place of what was to come so far (``former``)."""
    with _in_place_of(row, former):
        _schedule(row, price)


def keep_plan(row: Subscription) -> None:
    """Take back a change that was to come."""
    _release(row)


@contextmanager
def _in_place_of(row: Subscription, former: Price | None) -> Iterator[None]:
    """Without the schedule, which stands in the way of any other change; put back where that change is refused."""
    _release(row)
    try:
        yield
    except StripeRefusedError as error:
        if former is not None and row.stripe_schedule is not None and not _put_back(row, former):
            raise ChangeLostError(by_card=error.http_status == 402) from error
        raise
    except StripeDownError as error:
        lost = former is not None and row.stripe_schedule is not None
        raise StripeDownError(_MAYBE_GONE if lost else _MAYBE_DONE) from error  # so nothing can be put back


def _put_back(row: Subscription, former: Price) -> bool:
    try:
        _schedule(row, former)
    except (StripeRefusedError, UnavailableError) as error:
        facts = {"stripe_id": row.stripe_id, "reason": error.reason}
        log.warning("change to come is lost", extra={"event": "stripe.change_lost", **facts})
        return False
    return True


def _schedule(row: Subscription, price: Price) -> None:
    """Change when the period ends, by a schedule that then lets the subscription go on without it."""
    made = gateway().call("subscription_schedules.create", from_subscription=row.stripe_id)
    try:
        gateway().call(
            "subscription_schedules.update", made["id"], end_behavior="release", phases=_phases(row, price, made)
        )
    except StripeRefusedError:
        gateway().call("subscription_schedules.release", made["id"])  # with nothing to come it is only in the way
        raise


def _phases(row: Subscription, price: Price, made: Obj) -> list[Obj]:
    """What is paid now until the period ends, and then ``price``."""
    running: Obj = made["phases"][0]
    discounts = _discounts(running)
    return [
        {
            "items": [{"price": row.stripe_price, "quantity": row.quantity}],
            "start_date": running["start_date"],
            "end_date": running["end_date"],
            **discounts,
        },
        {
            "items": [{"price": price.stripe_id, "quantity": row.quantity}],
            "duration": {"interval": price.interval, "interval_count": price.interval_count},
            "proration_behavior": "none",
            **discounts,
        },
    ]


def _item(row: Subscription, stripe_price: str) -> Obj:
    return {"id": row.stripe_item, "price": stripe_price, "quantity": row.quantity}


def _release(row: Subscription) -> None:
    if row.stripe_schedule is not None:
        gateway().call("subscription_schedules.release", row.stripe_schedule)


def _discounts(phase: Obj) -> dict[str, Any]:
    """Those of the running phase: phases that name none would lose them."""
    found = [ref(one.get("discount")) for one in phase.get("discounts") or []]
    return {"discounts": [{"discount": one} for one in found if one]} if any(found) else {}
