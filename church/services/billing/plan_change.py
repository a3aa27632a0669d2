"""Change a member's plan: upgrades at once, downgrades with the next period; a preview shows the cost.

An upgrade costs more in a year. A switch between monthly and yearly within a plan starts with the next period. In a
trial every change is at once, because nothing was paid yet.
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
from church.services.billing.membership import (
    MembershipData,
    compute_add_ons,
    find_product,
    load_membership,
)
from church.services.billing.plans import amount_in, find_price, find_price_for_sale
from church.services.billing.stripe.apply_to_database import refresh_subscription
from church.services.billing.stripe.plan_change_calls import (
    ChangeCost,
    ChangeLostError,
    keep_plan,
    move_later,
    move_now,
    preview,
    preview_renewal,
)
from church.services.sessions import SignedIn

log = logging.getLogger("church.stripe")

_PER_YEAR = {"day": 365, "week": 52, "month": 12, "year": 1}
PREVIEW_SECONDS = 900  # seconds for which a shown amount is valid
_CHANGED_MEANWHILE = "Your subscription has changed since you opened this page. Check it and try again."
_STALE = "The amount has changed. Check it and try again."


class CardRefusedError(ConflictError):
    """The card was declined for the upgrade; nothing changed."""

    def __init__(self) -> None:
        super().__init__("Your card was declined. Your plan has not changed. Replace the card and try again.")


@dataclass(frozen=True)
class ChangePreview:
    """What a change does: ``kind`` is now, later, or keep (a scheduled change is cancelled)."""

    kind: str
    price: str
    plan_name: str
    interval: str
    amount: str
    """What each period takes, with all items of the subscription."""
    due: str
    """Due right now."""
    pays: bool
    """Whether anything is due right now."""
    credit: str
    """Unused value of the former plan, deducted from later invoices; empty for none."""
    when: datetime | None
    """When it changes, if not now."""
    renews: datetime | None
    at: int
    """Time that the amount was calculated for, in seconds since 1970."""


@dataclass(frozen=True)
class Changed:
    """The change that was made; ``when`` is None for now."""

    kind: str
    """As in the preview, or confirm: the member has to confirm the payment for the bank, on the page ``confirm_at``."""
    plan_name: str
    when: datetime | None
    confirm_at: str | None = None


def preview_change(member: SignedIn, stripe_price: str) -> ChangePreview:
    """Preview a change to the price, as calculated by Stripe.

    Raises FieldErrors for a price that is not for sale, ConflictError where there is nothing to change, and the errors
    of Stripe and the database.
    """
    change = _load(member, stripe_price)
    row, at = change.row, _time_in_period(change.row)
    cost = preview(row, stripe_price, at) if change.kind == "now" else ChangeCost(0, 0, row.currency, None)
    each = preview_renewal(row, stripe_price)
    return ChangePreview(
        kind=change.kind,
        price=stripe_price,
        plan_name=change.product.name,
        interval=str(change.price.interval),
        amount=money.format_amount(change.list_amount if each is None else each, row.currency),
        due=money.format_amount(cost.due, cost.currency),
        pays=cost.due > 0,
        credit=money.format_amount(cost.credit, cost.currency) if cost.credit else "",
        when=change.when,
        renews=cost.renews or row.current_period_end,
        at=at,
    )


def change_plan(member: SignedIn, stripe_price: str, at: int) -> Changed:
    """Change the plan, for the amount that was previewed at the time ``at``.

    Raises what the preview raises, ConflictError for a preview older than 15 minutes, CardRefusedError,
    ChangeLostError.
    """
    change = _load(member, stripe_price)
    if abs(_time_in_period(change.row) - at) > PREVIEW_SECONDS:
        raise ConflictError(_STALE)
    confirm_at = None
    try:
        if change.kind == "now":
            confirm_at = move_now(change.row, stripe_price, at, change.former)
        elif change.kind == "later":
            move_later(change.row, change.price, change.former)
        else:
            keep_plan(change.row)
    except ChangeLostError:
        refresh_subscription(change.row.stripe_id)
        raise
    except StripeRefusedError as error:
        fresh = refresh_subscription(change.row.stripe_id)  # a scheduled change may have a new schedule now
        if error.http_status == 402:
            raise CardRefusedError from error
        if fresh:
            log.warning("change refused", extra={"event": "stripe.change_refused", "reason": error.reason})
            raise ConflictError(_CHANGED_MEANWHILE) from error  # it was changed at Stripe; the refresh has stored that
        raise
    refresh_subscription(change.row.stripe_id)
    return Changed("confirm" if confirm_at else change.kind, change.product.name, change.when, confirm_at)


@dataclass(frozen=True)
class _Change:
    kind: str
    row: Subscription
    price: Price
    product: Product
    former: Price | None
    """The price of the change that is scheduled so far."""

    @property
    def list_amount(self) -> int:
        """The price of each period before discounts, with the items that stay beside the plan's."""
        return (amount_in(self.price, self.row.currency) or 0) * self.row.quantity + compute_add_ons(self.row)

    @property
    def when(self) -> datetime | None:
        """When the plan changes; None for now, and for a plan that stays."""
        return self.row.current_period_end if self.kind == "later" else None


def _load(member: SignedIn, stripe_price: str) -> _Change:
    if not current_settings().payments:
        raise PaymentsOffError
    with db.read() as session:
        data = load_membership(session.connection(), member.user_id, utc_now(), current_settings().grace_days)
        price = _find_price(session, data.subscription, stripe_price)
        product = find_product(session, price) if price is not None else None
        next_price = data.subscription.next_price if data.subscription is not None else None
        former = find_price(session, next_price) if next_price else None
        present = find_price(session, data.subscription.stripe_price or "") if data.subscription is not None else None
    row = _changeable(data)
    if price is None or product is None or amount_in(price, row.currency) is None:
        raise FieldErrors({"price": "This plan is not available."})
    return _Change(_kind(row, price, present), row, price, product, former)


def _find_price(session: Session, row: Subscription | None, stripe_price: str) -> Price | None:
    """Find a price for sale to the subscriber, or their current one, which may no longer be for sale."""
    if row is not None and row.stripe_price == stripe_price:
        return find_price(session, stripe_price)
    return find_price_for_sale(session, stripe_price, row.currency if row is not None else None)


def _changeable(data: MembershipData) -> Subscription:
    row = data.subscription
    if row is None:
        raise ConflictError("You have no subscription to change. Choose a plan to subscribe.")
    if row.cancel_at is not None:
        raise ConflictError("Your plan is cancelled. Resume it first, then change it.")
    if row.collection_paused:
        raise ConflictError("Payments for your plan are paused. Change it once they go on.")
    if row.stripe_item is None:
        raise ConflictError("Your plan can't be changed here. Ask us to change it.")
    if row.status not in PAID_STATUSES:
        raise ConflictError("Your last payment is due. Pay it first, then change the plan.")
    return row


def _kind(row: Subscription, price: Price, present: Price | None) -> str:
    if price.stripe_id == row.stripe_price:
        if row.next_price is None:
            raise ConflictError("This is already your plan.")
        return "keep"
    if row.status == "trialing":
        return "now"
    more = _per_year(amount_in(price, row.currency), price.interval, price.interval_count) > _per_year(
        _unit_amount(row, present), row.interval, row.interval_count
    )
    return "now" if more and price.stripe_product != row.stripe_product else "later"


def _unit_amount(row: Subscription, present: Price | None) -> float | None:
    """Return what one of the plan costs now, without add-ons."""
    amount = amount_in(present, row.currency) if present is not None else None
    if amount is None and row.plan_amount is not None:
        return row.plan_amount / max(row.quantity, 1)
    return amount


def _per_year(amount: float | None, interval: str | None, count: int) -> float:
    return (amount or 0) * _PER_YEAR.get(interval or "", 1) / max(count, 1)


def _time_in_period(row: Subscription) -> int:
    """Return the current time, limited to the paid period: a test till's clock may be ahead of ours."""
    now = int(utc_now().timestamp())
    first = int(row.current_period_start.timestamp()) if row.current_period_start else now
    last = int(row.current_period_end.timestamp()) - 1 if row.current_period_end else now
    return max(first, min(now, last))
