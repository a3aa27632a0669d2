"""Views of a membership for its pages: status, invoices, the checkout's result, and free passes.

All is read from the database, so no page waits for Stripe.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import aliased

from church.config import current_settings
from church.database.paging import NEWEST, ListPage, Place, count_up_to, fetch_page
from church.extensions import db
from church.models import Checkout, Customer, Grant, Invoice, Subscription, User
from church.models.base import utc_now
from church.models.billing import PAID_STATUSES, UNPAID_STATUSES, CheckoutState
from church.services import money
from church.services.audit import Person
from church.services.billing.membership import MembershipData, load_membership
from church.services.entitlements import SubscriptionFacts, grace_end

_NONE = "No subscription"
_FAR = 330  # days; a date further away is shown with its year
_MOST_INVOICES = 100
_OLD = timedelta(days=1)  # an amount that is older than the rest of its row is shown with its day
BY_HAND = "send_invoice"
"""The collection method of a payer who pays invoices by hand."""
_INVOICE_STATES = {"paid": "Paid", "open": "Open", "void": "Void", "uncollectible": "Not collected"}


@dataclass(frozen=True)
class Banner:
    """Something the member has to do; ``pay_url`` is Stripe's page of the invoice."""

    words: str
    pay_url: str | None = None
    way: str = "Pay invoice"
    """Text of the link to that page."""
    by_card: bool = True
    """Whether another card may help; not for a payer who pays invoices by hand."""


@dataclass(frozen=True)
class OwnSubscription:
    """One of several subscriptions that a member has at once."""

    stripe_id: str
    plan_name: str
    sentence: str
    premium: bool
    is_ending: bool
    """Whether it ends by itself, so that nothing is left to do."""


@dataclass(frozen=True)
class MembershipStatus:
    """``state`` is none, trialing, active, ending, changing, uncollected, past_due, closed, paused or complimentary.

    ``uncollected`` has premium while payments are paused; ``paused`` has none until a card is added.
    """

    state: str
    sentence: str
    premium: bool
    plan_name: str = ""
    price: str | None = None
    """Stripe's id of the current price."""
    next_price: str | None = None
    interval: str | None = None
    currency: str | None = None
    card: str | None = None
    has_portal: bool = False
    """Whether the member has a customer at Stripe, whose portal can be opened."""
    can_change: bool = False
    had_trial: bool = False
    banner: Banner | None = None
    subscriptions: tuple[OwnSubscription, ...] = ()
    """All that the member has, this one first, where there are several: each is paid until it is ended."""


@dataclass(frozen=True)
class InvoiceView:
    """One invoice, as the member sees it."""

    number: str
    date: datetime
    total: str
    state: str
    hosted_url: str | None
    pdf_url: str | None


def read_membership_status(user_id: int, now: datetime | None = None) -> MembershipStatus:
    """Load a member's status. Raises DatabaseDownError, DatabaseBusyError."""
    now, grace = now or utc_now(), current_settings().grace_days
    with db.read_connection() as connection:
        data = load_membership(connection, user_id, now, grace)
    return describe_membership(data, now, grace)


def describe_membership(data: MembershipData, now: datetime, grace_days: int) -> MembershipStatus:
    """Describe the status of a membership that was loaded."""
    row = data.subscription
    state, sentence, premium = _describe(row, data, now, grace_days) if row else ("none", _NONE, False)
    if data.grant is not None and not premium:
        state, sentence, premium = "complimentary", f"Complimentary until {_day(data.grant.until, now)}", True
    customer = data.customer
    return MembershipStatus(
        state=state,
        sentence=sentence,
        premium=premium,
        plan_name=data.plan_name,
        price=row.stripe_price if row else None,
        next_price=row.next_price if row else None,
        interval=row.interval if row else None,
        currency=row.currency if row else None,
        card=_describe_card(customer) if row is None or row.collection_method != BY_HAND else None,
        has_portal=customer is not None,
        can_change=row is not None and _can_change(row),
        had_trial=data.had_one,
        banner=_banner(row, data, now, grace_days) if row else None,
        subscriptions=_describe_all(data, now, grace_days) if data.others else (),
    )


def _describe_card(customer: Customer | None) -> str | None:
    if customer is None or not customer.card_last4:
        return None
    return f"{customer.card_brand or 'Card'} •••• {customer.card_last4}".capitalize()


def _can_change(row: Subscription) -> bool:
    return row.status in PAID_STATUSES and row.cancel_at is None and not row.collection_paused


def _describe_all(data: MembershipData, now: datetime, grace_days: int) -> tuple[OwnSubscription, ...]:
    views = []
    for each in (data, *data.others):
        if (row := each.subscription) is not None:
            _, sentence, premium = _describe(row, each, now, grace_days)
            view = OwnSubscription(row.stripe_id, each.plan_name, sentence, premium, row.cancel_at is not None)
            views.append(view)
    return tuple(views)


def _describe(row: Subscription, data: MembershipData, now: datetime, grace_days: int) -> tuple[str, str, bool]:
    """Return the state, its sentence, and whether it gives premium."""
    if row.status == "paused":
        return "paused", "Paused; add a card to resume", False
    if row.status not in PAID_STATUSES:
        problem = "Invoice open" if row.collection_method == BY_HAND else "Payment failed"
        until = grace_end(SubscriptionFacts(row.status, row.past_due_since), grace_days)
        if until is not None and now < until:
            return "past_due", f"{problem}; premium until {_day(until, now)}", True
        return "closed", f"{problem}; no premium until you pay", False
    return (*_describe_paid(row, data, now), True)


def _describe_paid(row: Subscription, data: MembershipData, now: datetime) -> tuple[str, str]:
    if row.cancel_at is not None:
        return "ending", f"Ends {_day(row.cancel_at, now)}"
    if row.collection_paused:
        return "uncollected", f"Payments are paused{f' until {_day(row.resumes_at, now)}' if row.resumes_at else ''}"
    cost = _cost(row, now)
    if row.next_price is not None and row.next_price_at is not None:
        return "changing", _describe_change(row, data, row.next_price_at, now)
    if row.status == "trialing" and row.trial_end is not None:
        return "trialing", f"Trial until {_day(row.trial_end, now)}{f', then {cost}' if cost else ''}"
    at = row.renewal_at or row.current_period_end
    when = f" {_day(at, now)}" if at else ""
    by_hand = ", by invoice" if row.collection_method == BY_HAND else ""
    return "active", f"Renews{when}{f', {cost}' if cost else ''}{by_hand}"


def _describe_change(row: Subscription, data: MembershipData, at: datetime, now: datetime) -> str:
    """Describe a scheduled change, with what Stripe will take then, or else the price."""
    amount = row.renewal_amount if row.renewal_amount is not None and row.renewal_at == at else data.next_amount
    cost = f", {money.format_amount(amount, row.currency)}" if amount is not None else ""
    return f"Changes to {data.next_plan_name or 'another plan'} {_day(at, now)}{cost}"


def _cost(row: Subscription, now: datetime) -> str:
    """What the next invoice takes, with the day of an answer that could not be renewed; empty where it is unknown."""
    if row.renewal_amount is None:
        return ""
    asked_at = row.renewal_asked_at
    is_old = asked_at is not None and row.fetched_at - asked_at > _OLD
    since = f" as of {_day(asked_at, now)}" if is_old and asked_at is not None else ""
    return money.format_amount(row.renewal_amount, row.currency) + since


def _banner(row: Subscription, data: MembershipData, now: datetime, grace_days: int) -> Banner | None:
    invoice = data.invoice if data.invoice is not None and data.invoice.status == "open" else None
    pay_url = invoice.hosted_url if invoice is not None else None
    if row.status == "paused":
        return Banner("Your trial is over and no card is on file. Add a card to get premium back.")
    if row.collection_method == BY_HAND:
        return _invoice_banner(row, invoice, now, grace_days) if invoice is not None else None
    if invoice is not None and invoice.problem == "action_required":
        return Banner("Your bank needs you to confirm your last payment.", pay_url, "Confirm payment")
    if row.status not in UNPAID_STATUSES:
        return None
    until = grace_end(SubscriptionFacts(row.status, row.past_due_since), grace_days)
    if until is not None and now < until:
        return Banner(f"Your last payment failed. You keep premium until {_day(until, now)}.", pay_url)
    return Banner("Your last payment failed. Pay it to get premium back.", pay_url)


def _invoice_banner(row: Subscription, invoice: Invoice, now: datetime, grace_days: int) -> Banner:
    """Ask for an invoice that is paid by hand: nothing was charged, so nothing has failed."""
    amount = money.format_amount(invoice.amount_remaining, invoice.currency)
    due = f", due {_day(invoice.due_at, now)}" if invoice.due_at is not None else ""
    words = f"Your invoice of {amount} is open{due}."
    if row.status in UNPAID_STATUSES:
        until = grace_end(SubscriptionFacts(row.status, row.past_due_since), grace_days)
        keeps = until is not None and now < until
        words += f" You keep premium until {_day(until, now)}." if until and keeps else " Pay it to get premium back."
    return Banner(words, invoice.hosted_url, by_card=False)


def _day(at: datetime, now: datetime) -> str:
    """A day in UTC, with its year where it is far away."""
    year = f" {at.year}" if abs((at - now).days) > _FAR else ""
    return f"{at.day} {at:%B}{year}"


def list_invoices(user_id: int) -> list[InvoiceView]:
    """List the member's invoices, newest first, without drafts."""
    query = select(Invoice).where(Invoice.user_id == user_id, Invoice.status != "draft")
    with db.read() as session:
        rows = session.scalars(query.order_by(Invoice.created_at.desc(), Invoice.id.desc()).limit(_MOST_INVOICES)).all()
    return [
        InvoiceView(
            number=row.number or row.stripe_id,
            date=row.created_at,
            total=money.format_amount(row.total, row.currency),
            state=_describe_invoice(row),
            hosted_url=row.hosted_url,
            pdf_url=row.pdf_url,
        )
        for row in rows
    ]


def _describe_invoice(row: Invoice) -> str:
    state = _INVOICE_STATES.get(row.status, row.status)
    return f"{state}, due {row.due_at.day} {row.due_at:%B %Y}" if row.status == "open" and row.due_at else state


# -- back from the checkout -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckoutResult:
    """Result of a checkout: ``state`` is waiting, done, pending (a slow payment), failed or expired."""

    state: str
    status: MembershipStatus


_ARRIVAL_STATES = {
    CheckoutState.COMPLETED.value: "done",
    CheckoutState.PENDING.value: "pending",
    CheckoutState.FAILED.value: "failed",
    CheckoutState.EXPIRED.value: "expired",
}


def read_checkout_result(user_id: int, stripe_session: str) -> CheckoutResult | None:
    """Read the result of a member's checkout, as webhooks have reported it; None for another's checkout."""
    query = select(Checkout.state).where(Checkout.stripe_session == stripe_session, Checkout.user_id == user_id)
    with db.read() as session:
        state = session.scalars(query).one_or_none()
    if state is None:
        return None
    status = read_membership_status(user_id)
    if state == CheckoutState.OPEN and status.premium and status.price is not None:
        return CheckoutResult("done", status)  # the subscription's event arrived before the checkout's
    return CheckoutResult(_ARRIVAL_STATES.get(state, "waiting"), status)


# -- free premium -----------------------------------------------------------------------------------------------------


class GrantState(StrEnum):
    """The state of a grant; each grant is in exactly one."""

    OPEN = "open"
    ENDED = "ended"
    REVOKED = "revoked"


@dataclass(frozen=True)
class GrantView:
    """One grant of free premium; ``given_by`` is None for the command line."""

    id: int
    member: Person
    given_by: Person | None
    until: datetime
    reason: str
    state: GrantState
    created_at: datetime
    revoked_at: datetime | None


def list_grants(
    *, state: GrantState | None = None, user_ref: str | None = None, place: Place = NEWEST
) -> ListPage[GrantView]:
    """List grants, newest first."""
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
        query = query.where(Grant.user_id == select(User.id).where(User.ref == user_ref).scalar_subquery())
    with db.read() as session:
        found = fetch_page(session, query, Grant.id, Grant.created_at, place)
    return found.convert(lambda row: _grant_view(row[0], Person(*row[1:3]), Person(*row[3:5]) if row[3] else None, now))


def count_grants() -> dict[GrantState, int]:
    """Count the grants in each state; of each at most one more than ``MOST_COUNTED``."""
    now = utc_now()
    counted = [count_up_to(select(Grant.id).where(_in_state(state, now)).order_by(Grant.id)) for state in GrantState]
    with db.read() as session:
        return dict(zip(GrantState, session.execute(select(*counted)).one(), strict=True))


def _in_state(state: GrantState, now: datetime) -> ColumnElement[bool]:
    valid = Grant.revoked_at.is_(None)
    return {
        GrantState.OPEN: and_(valid, Grant.until > now),
        GrantState.ENDED: and_(valid, Grant.until <= now),
        GrantState.REVOKED: Grant.revoked_at.is_not(None),
    }[state]


def _grant_view(row: Grant, member: Person, giver: Person | None, now: datetime) -> GrantView:
    return GrantView(
        row.id, member, giver, row.until, row.reason, _grant_state(row, now), row.created_at, row.revoked_at
    )


def _grant_state(row: Grant, now: datetime) -> GrantState:
    if row.revoked_at is not None:
        return GrantState.REVOKED
    return GrantState.OPEN if now < row.until else GrantState.ENDED
