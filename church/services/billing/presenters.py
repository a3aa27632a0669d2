"""How a membership stands, in one sentence, from what the database knows: no page waits for Stripe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.orm import aliased

from church.config import current_settings
from church.database.paging import newest_first
from church.extensions import db
from church.models import Checkout, Grant, Invoice, Subscription, User
from church.models.base import utc_now
from church.models.billing import PAID_STATUSES, UNPAID_STATUSES, CheckoutState
from church.services import money
from church.services.audit import Person
from church.services.billing.membership import MembershipData, load_membership
from church.services.entitlements import Subscribed, grace_end

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
        found = load_membership(session, user_id, now, grace)
    return standing(found, now, grace)


def standing(found: MembershipData, now: datetime, grace_days: int) -> MembershipStatus:
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
        can_change=row is not None and row.status in PAID_STATUSES and row.cancel_at is None,
        had_trial=found.had_one,
        banner=_banner(row, found, now, grace_days) if row else None,
    )


def _of_subscription(row: Subscription, found: MembershipData, now: datetime, grace_days: int) -> tuple[str, str, bool]:
    """State, sentence, and whether it opens premium."""
    if row.status == "paused":
        return "paused", "Paused; add a card to resume", False
    if row.status not in PAID_STATUSES:
        until = grace_end(Subscribed(row.status, row.past_due_since), grace_days)
        if until is not None and now < until:
            return "past_due", f"Payment failed; premium until {_day(until, now)}", True
        return "closed", "Payment failed; no premium until you pay", False
    return (*_of_open(row, found, now), True)


def _of_open(row: Subscription, found: MembershipData, now: datetime) -> tuple[str, str]:
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


def _banner(row: Subscription, found: MembershipData, now: datetime, grace_days: int) -> Banner | None:
    invoice = found.invoice
    pay_url = invoice.hosted_url if invoice is not None and invoice.status == "open" else None
    if row.status == "paused":
        return Banner("Your trial is over and no card is on file. Add a card to get premium back.")
    if invoice is not None and invoice.problem == "action_required":
        return Banner("Your bank needs you to confirm your last payment.", pay_url, "Confirm payment")
    if row.status not in UNPAID_STATUSES:
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


@dataclass(frozen=True)
class Arrival:
    """``state`` is waiting, done, pending (a slow payment), failed or expired."""

    state: str
    status: MembershipStatus


_ENDS = {
    CheckoutState.COMPLETED.value: "done",
    CheckoutState.PENDING.value: "pending",
    CheckoutState.FAILED.value: "failed",
    CheckoutState.EXPIRED.value: "expired",
}


def read_arrival(user_id: int, stripe_session: str) -> Arrival | None:
    """How the member's checkout stands by what the webhooks have told; None for a checkout that is not theirs."""
    query = select(Checkout.state).where(Checkout.stripe_session == stripe_session, Checkout.user_id == user_id)
    with db.read() as session:
        state = session.scalars(query).one_or_none()
    if state is None:
        return None
    status = status_of(user_id)
    if state == CheckoutState.OPEN and status.premium and status.price is not None:
        return Arrival("done", status)  # the event of the subscription came before that of its checkout
    return Arrival(_ENDS.get(state, "waiting"), status)


class GrantState(StrEnum):
    """How a grant stands; each is in exactly one of these states."""

    OPEN = "open"
    ENDED = "ended"
    REVOKED = "revoked"


@dataclass(frozen=True)
class GrantView:
    """One gift: to whom, by whom (None for the command line), until when and why."""

    id: int
    member: Person
    given_by: Person | None
    until: datetime
    reason: str
    state: GrantState
    created_at: datetime
    revoked_at: datetime | None


def list_grants(
    *, state: GrantState | None = None, user_ref: str | None = None, before_id: int | None = None, limit: int = 50
) -> list[GrantView]:
    """Grants, the newest first; ``before_id`` is the last one of the page before."""
    now = utc_now()
    member, giver = aliased(User), aliased(User)
    query = (
        select(Grant, member.ref, member.name, giver.ref, giver.name)
        .join(member, member.id == Grant.user_id)
        .outerjoin(giver, giver.id == Grant.granted_by)
    )
    if state is not None:
        query = query.where(_in_state(state, now))
    if user_ref is not None:
        query = query.where(member.ref == user_ref)
    with db.read() as session:
        found = session.execute(newest_first(query, Grant.id, before_id, limit)).all()
    return [_view(row[0], Person(*row[1:3]), Person(*row[3:5]) if row[3] else None, now) for row in found]


def grant_counts() -> dict[GrantState, int]:
    """How many grants are in each state."""
    now = utc_now()
    state = case(
        (_in_state(GrantState.OPEN, now), GrantState.OPEN.value),
        (_in_state(GrantState.ENDED, now), GrantState.ENDED.value),
        else_=GrantState.REVOKED.value,
    ).label("state")
    with db.read() as session:
        found = session.execute(select(state, func.count()).group_by(state)).all()
    counted: dict[str, int] = {word: count for word, count in found}  # noqa: C416 - rows are no pairs to the checker
    return {one: counted.get(one.value, 0) for one in GrantState}


def _in_state(state: GrantState, now: datetime) -> ColumnElement[bool]:
    kept = Grant.revoked_at.is_(None)
    return {
        GrantState.OPEN: and_(kept, Grant.until > now),
        GrantState.ENDED: and_(kept, Grant.until <= now),
        GrantState.REVOKED: Grant.revoked_at.is_not(None),
    }[state]


def _view(row: Grant, member: Person, giver: Person | None, now: datetime) -> GrantView:
    return GrantView(row.id, member, giver, row.until, row.reason, _state(row, now), row.created_at, row.revoked_at)


def _state(row: Grant, now: datetime) -> GrantState:
    if row.revoked_at is not None:
        return GrantState.REVOKED
    return GrantState.OPEN if now < row.until else GrantState.ENDED
