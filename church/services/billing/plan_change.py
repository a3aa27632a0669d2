"""Another plan: more at once, less from the next period on; what it costs is said before.

More is what costs more in a year. Within one plan the months or years change with the next period, and in a trial
everything changes at once, since nothing was paid yet.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from church.config import current_settings
from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.models import Price, Product, Subscription
from church.models.base import utc_now
from church.models.billing import PAID_STATUSES
from church.services import money
from church.services.billing.errors import PaymentsOffError, StripeRefusedError
from church.services.billing.membership import MembershipData, find_product, load_membership
from church.services.billing.plans import price_for_sale, price_named
from church.services.billing.stripe.apply_to_database import refresh
from church.services.billing.stripe.plan_change_calls import (
    ChangeLostError,
    Weighed,
    keep_plan,
    move_later,
    move_now,
    preview,
)
from church.services.sessions import SignedIn

log = logging.getLogger("church.stripe")

_PER_YEAR = {"day": 365, "week": 52, "month": 12, "year": 1}
FRESH = 900  # seconds for which an amount that was shown holds
_ELSEWHERE = "Your membership has changed since you opened this page. Check it and try again."
_STALE = "The amount has changed. Check it and try again."


class CardRefusedError(ConflictError):
    """The card did not pay for the larger plan, and nothing was changed."""

    def __init__(self) -> None:
        super().__init__("Your card was declined. Your plan has not changed. Replace the card and try again.")


@dataclass(frozen=True)
class ChangePreview:
    """What a change does: ``kind`` is now, later, or keep (a change that was to come is taken back)."""

    kind: str
    price: str
    plan_name: str
    interval: str
    amount: str
    """What the plan costs each time."""
    due: str
    """To pay right now."""
    pays: bool
    """Whether that is anything."""
    credit: str
    """What is left of the former plan and kept for later invoices; empty for nothing."""
    when: datetime | None
    """When it changes, if not now."""
    renews: datetime | None
    at: int
    """The moment that the amount was reckoned for, in seconds since 1970."""


@dataclass(frozen=True)
class Changed:
    """What was done, and from when on it holds; None for now."""

    kind: str
    """As in the preview, or confirm: the change waits for the member, whom the bank asks on the page ``confirm_at``."""
    plan_name: str
    when: datetime | None
    confirm_at: str | None = None


def preview_change(member: SignedIn, stripe_price: str) -> ChangePreview:
    """What changing to the price would do, by Stripe's own reckoning.

    Raises FieldErrors for a price that is not for sale, ConflictError where there is nothing to change, and what
    Stripe and the database raise.
    """
    wish = _wish(member, stripe_price)
    row, at = wish.row, _moment(wish.row)
    weighed = preview(row, stripe_price, at) if wish.kind == "now" else Weighed(0, 0, row.currency, None)
    return ChangePreview(
        kind=wish.kind,
        price=stripe_price,
        plan_name=wish.product.name,
        interval=str(wish.price.interval),
        amount=money.display((wish.price.amount or 0) * row.quantity, wish.price.currency),
        due=money.display(weighed.due, weighed.currency),
        pays=weighed.due > 0,
        credit=money.display(weighed.credit, weighed.currency) if weighed.credit else "",
        when=wish.when,
        renews=weighed.renews or row.current_period_end,
        at=at,
    )


def change_plan(member: SignedIn, stripe_price: str, at: int) -> Changed:
    """Do it, for the amount that was shown for the moment ``at``.

    Raises what ``preview_change`` raises, ConflictError when that was too long ago, CardRefusedError,
    ChangeLostError.
    """
    wish = _wish(member, stripe_price)
    if abs(_moment(wish.row) - at) > FRESH:
        raise ConflictError(_STALE)
    confirm_at = None
    try:
        if wish.kind == "now":
            confirm_at = move_now(wish.row, stripe_price, at, wish.former)
        elif wish.kind == "later":
            move_later(wish.row, wish.price, wish.former)
        else:
            keep_plan(wish.row)
    except ChangeLostError:
        refresh(wish.row.stripe_id)
        raise
    except StripeRefusedError as error:
        fresh = refresh(wish.row.stripe_id)  # what was to come has another schedule by now
        if error.http_status == 402:
            raise CardRefusedError from error
        if fresh:
            log.warning("change refused", extra={"event": "stripe.change_refused", "reason": error.reason})
            raise ConflictError(_ELSEWHERE) from error  # it was changed at Stripe, and is known as it is by now
        raise
    refresh(wish.row.stripe_id)
    return Changed("confirm" if confirm_at else wish.kind, wish.product.name, wish.when, confirm_at)


@dataclass(frozen=True)
class _Wish:
    kind: str
    row: Subscription
    price: Price
    product: Product
    former: Price | None
    """What was to come so far."""

    @property
    def when(self) -> datetime | None:
        """When it changes; None for now, and for a plan that stays."""
        return self.row.current_period_end if self.kind == "later" else None


def _wish(member: SignedIn, stripe_price: str) -> _Wish:
    if not current_settings().payments:
        raise PaymentsOffError
    with db.read() as session:
        found = load_membership(session, member.user_id, utc_now(), current_settings().grace_days)
        price = _price(session, found.subscription, stripe_price)
        product = find_product(session, price) if price is not None else None
        next_price = found.subscription.next_price if found.subscription is not None else None
        former = price_named(session, next_price) if next_price else None
    row = _changeable(found)
    if price is None or product is None or price.amount is None or price.currency != row.currency:
        raise FieldErrors({"price": "This plan is not available."})
    return _Wish(_kind(row, price), row, price, product, former)


def _price(session: Session, row: Subscription | None, stripe_price: str) -> Price | None:
    """One that the page offers to the subscriber, or the one that is paid now, which may be sold to nobody else."""
    if row is not None and row.stripe_price == stripe_price:
        return price_named(session, stripe_price)
    return price_for_sale(session, stripe_price, row.currency if row is not None else None)


def _changeable(found: MembershipData) -> Subscription:
    row = found.subscription
    if row is None:
        raise ConflictError("You have no membership to change. Choose a plan to subscribe.")
    if row.cancel_at is not None:
        raise ConflictError("Your plan is cancelled. Resume it first, then change it.")
    if row.status not in PAID_STATUSES:
        raise ConflictError("Your last payment is due. Pay it first, then change the plan.")
    return row


def _kind(row: Subscription, price: Price) -> str:
    if price.stripe_id == row.stripe_price:
        if row.next_price is None:
            raise ConflictError("This is already your plan.")
        return "keep"
    if row.status == "trialing":
        return "now"
    more = _per_year(price.amount, price.interval, price.interval_count) > _per_year(
        row.amount, row.interval, row.interval_count
    )
    return "now" if more and price.stripe_product != row.stripe_product else "later"


def _per_year(amount: int | None, interval: str | None, count: int) -> float:
    return (amount or 0) * _PER_YEAR.get(interval or "", 1) / max(count, 1)


def _moment(row: Subscription) -> int:
    """Now, within the period that is paid for: the clock of a test till may be ahead of ours."""
    now = int(utc_now().timestamp())
    first = int(row.current_period_start.timestamp()) if row.current_period_start else now
    last = int(row.current_period_end.timestamp()) - 1 if row.current_period_end else now
    return max(first, min(now, last))
