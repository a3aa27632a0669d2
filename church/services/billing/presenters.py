"""How a membership stands, in one sentence, from what the database knows: no page waits for Stripe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from church.config import current_settings
from church.extensions import db
from church.models import Invoice, Subscription
from church.models.base import utc_now
from church.services import money
from church.services.billing.membership import Holding, holding
from church.services.entitlements import OPEN_STATUSES, Subscribed, grace_end

NONE = "No membership"
_FAR = 330  # days: beyond them a day without its year could be read as this year's
_MOST_INVOICES = 100
_INVOICE_STATES = {"paid": "Paid", "open": "Open", "void": "Void", "uncollectible": "Not collected"}


@dataclass(frozen=True)
class Banner:
    """Something that the member has to do; ``pay_url`` is Stripe's page of the invoice."""

    words: str
    pay_url: str | None = None
    way: str = "Pay invoice"
    """What the way to that page is called."""


@dataclass(frozen=True)
class MembershipStatus:
    """``state`` is none, trialing, active, ending, changing, past_due, closed, paused or complimentary."""

    state: str
    sentence: str
    premium: bool
    plan_name: str = ""
    price: str | None = None
    """Stripe's id of the price that is paid now."""
    next_price: str | None = None
    interval: str | None = None
    currency: str | None = None
    card: str | None = None
    has_portal: bool = False
    """Whether there is a customer whose card, invoices and subscription can be looked after."""
    can_change: bool = False
    had_trial: bool = False
    banner: Banner | None = None


@dataclass(frozen=True)
class InvoiceView:
    """One invoice as its payer sees it."""

    number: str
    date: datetime
    total: str
    state: str
    hosted_url: str | None
    pdf_url: str | None


def status_of(user_id: int, now: datetime | None = None) -> MembershipStatus:
    """The member's standing. Raises DatabaseDownError, DatabaseBusyError."""
    now, grace = now or utc_now(), current_settings().grace_days
    with db.read() as session:
        found = holding(session, user_id, now, grace)
    return standing(found, now, grace)


def standing(found: Holding, now: datetime, grace_days: int) -> MembershipStatus:
    """The same of what was read."""
    row = found.subscription
    state, sentence, premium = _of_subscription(row, found, now, grace_days) if row else ("none", NONE, False)
    if found.grant is not None and not premium:
        state, sentence, premium = "complimentary", f"Complimentary until {_day(found.grant.until, now)}", True
    customer = found.customer
    return MembershipStatus(
        state=state,
        sentence=sentence,
        premium=premium,
        plan_name=found.plan_name,
        price=row.stripe_price if row else None,
        next_price=row.next_price if row else None,
        interval=row.interval if row else None,
        currency=row.currency if row else None,
        card=f"{customer.card_brand or 'Card'} •••• {customer.card_last4}".capitalize()
        if customer and customer.card_last4
        else None,
        has_portal=customer is not None,
        can_change=row is not None and row.status in {"trialing", "active"} and row.cancel_at is None,
        had_trial=found.had_one,
        banner=_banner(row, found, now, grace_days) if row else None,
    )


def _of_subscription(row: Subscription, found: Holding, now: datetime, grace_days: int) -> tuple[str, str, bool]:
    """State, sentence, and whether it opens premium."""
    if row.status == "paused":
        return "paused", "Paused; add a card to resume", False
    if row.status not in OPEN_STATUSES:
        until = grace_end(Subscribed(row.status, row.past_due_since), grace_days)
        if until is not None and now < until:
            return "past_due", f"Payment failed; premium until {_day(until, now)}", True
        return "closed", "Payment failed; no premium until you pay", False
    return (*_of_open(row, found, now), True)


def _of_open(row: Subscription, found: Holding, now: datetime) -> tuple[str, str]:
    if row.cancel_at is not None:
        return "ending", f"Ends {_day(row.cancel_at, now)}"
    if row.next_price is not None and row.next_price_at is not None:
        cost = f", {money.display(found.next_amount, row.currency)}" if found.next_amount is not None else ""
        return "changing", f"Changes to {found.next_plan_name or 'another plan'} {_day(row.next_price_at, now)}{cost}"
    cost = _cost(row)
    if row.status == "trialing" and row.trial_end is not None:
        return "trialing", f"Trial until {_day(row.trial_end, now)}{f', then {cost}' if cost else ''}"
    when = f" {_day(row.current_period_end, now)}" if row.current_period_end else ""
    return "active", f"Renews{when}{f', {cost}' if cost else ''}"


def _cost(row: Subscription) -> str:
    amount = row.renewal_amount if row.renewal_amount is not None else row.amount
    return money.display(amount, row.currency) if amount is not None else ""


def _banner(row: Subscription, found: Holding, now: datetime, grace_days: int) -> Banner | None:
    invoice = found.invoice
    pay_url = invoice.hosted_url if invoice is not None and invoice.status == "open" else None
    if row.status == "paused":
        return Banner("Your trial is over and no card is on file. Add a card to get premium back.")
    if invoice is not None and invoice.problem == "action_required":
        return Banner("Your bank needs you to confirm your last payment.", pay_url, "Confirm payment")
    if row.status not in {"past_due", "unpaid"}:
        return None
    until = grace_end(Subscribed(row.status, row.past_due_since), grace_days)
    if until is not None and now < until:
        return Banner(f"Your last payment failed. You keep premium until {_day(until, now)}.", pay_url)
    return Banner("Your last payment failed. Pay it to get premium back.", pay_url)


def _day(at: datetime, now: datetime) -> str:
    """A day in UTC; with its year where that may be another than one thinks."""
    year = f" {at.year}" if abs((at - now).days) > _FAR else ""
    return f"{at.day} {at:%B}{year}"


def invoices_of(user_id: int) -> list[InvoiceView]:
    """The member's invoices, the newest first, without drafts."""
    query = select(Invoice).where(Invoice.user_id == user_id, Invoice.status != "draft")
    with db.read() as session:
        rows = session.scalars(query.order_by(Invoice.created_at.desc(), Invoice.id.desc()).limit(_MOST_INVOICES)).all()
    return [
        InvoiceView(
            number=row.number or row.stripe_id,
            date=row.created_at,
            total=money.display(row.total, row.currency),
            state=_INVOICE_STATES.get(row.status, row.status),
            hosted_url=row.hosted_url,
            pdf_url=row.pdf_url,
        )
        for row in rows
    ]
