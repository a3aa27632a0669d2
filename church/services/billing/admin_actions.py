"""List, count and export billing data for admins, and replay webhook events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import select

from church.database.kept_sums import SumName, read_sums
from church.database.paging import NEWEST, ListPage, Place, count_up_to, fetch_page
from church.errors import ConflictError, NotFoundError, UnavailableError
from church.extensions import db
from church.models import StripeEvent, Subscription, User
from church.models.base import plain, utc_now
from church.models.billing import CURRENT_ONLY, CURRENT_STATUSES, ENDED_STATUSES, EventState
from church.services import audit, money
from church.services.accounts import UnknownMemberError
from church.services.audit import Actor
from church.services.billing import presenters
from church.services.billing.health import members_paying_twice
from church.services.billing.ledger_sums import LedgerSum, read_ledger_sums, sum_kinds
from church.services.billing.presenters import GrantView
from church.services.billing.stripe.plan_change_calls import end_with_period
from church.services.billing.stripe.webhooks import Outcome, replay
from church.services.entitlements import member_has_premium

# -- subscriptions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SubscriptionView:
    """One subscription and its member; ``price`` is formatted, for one ``interval``."""

    id: int
    stripe_id: str
    plan: str
    status: str
    price: str | None
    """Of all items, before discounts and tax."""
    renewal: str | None
    """What the next invoice takes; None where nothing is taken, or that is unknown."""
    interval: str | None
    user_ref: str
    user_name: str
    started_at: datetime
    current_period_start: datetime | None
    current_period_end: datetime | None
    cancel_at: datetime | None
    ended_at: datetime | None
    past_due_since: datetime | None
    collection_paused: bool
    by_hand: bool
    """Whether the member pays invoices by hand."""

    @property
    def is_current(self) -> bool:
        """Whether the member has it now; several at once are all paid."""
        return self.status in CURRENT_STATUSES


@dataclass(frozen=True)
class MemberBilling:
    """One member's subscriptions and grants; ``premium`` is whether they have premium right now."""

    premium: bool
    subscriptions: list[SubscriptionView]
    grants: list[GrantView]

    @property
    def current(self) -> list[SubscriptionView]:
        """The subscriptions that the member has now."""
        return [one for one in self.subscriptions if one.is_current]


def list_subscriptions(
    *,
    status: str | None = None,
    user_ref: str | None = None,
    several: bool = False,
    place: Place = NEWEST,
) -> ListPage[SubscriptionView]:
    """List subscriptions, newest first; ``several`` are the current ones of members who have more than one."""
    query = select(Subscription, User.ref, User.name).join(User, User.id == Subscription.user_id)
    if status is not None:
        query = query.where(Subscription.status == status)
    if user_ref is not None:
        query = query.where(User.ref == user_ref)
    if several:
        query = query.where(CURRENT_ONLY, Subscription.user_id.in_(members_paying_twice()))
    with db.read() as session:
        found = fetch_page(session, query, Subscription.id, Subscription.created_at, place)
    return found.convert(lambda row: _subscription_view(*row))


def read_member_billing(ref: str) -> MemberBilling:
    """Read one member's subscriptions and grants, newest first. Raises UnknownMemberError."""
    with db.read() as session:
        user_id = session.scalars(select(User.id).where(User.ref == plain(ref))).one_or_none()
        if user_id is None:
            raise UnknownMemberError(ref)
        premium = member_has_premium(session, user_id, utc_now())
    subscriptions = list_subscriptions(user_ref=ref)
    return MemberBilling(premium, subscriptions, presenters.list_grants(user_ref=ref))


def end_subscription(ref: str, stripe_id: str, actor: Actor) -> datetime | None:
    """Have Stripe end a member's subscription when its period ends. Returns when that is.

    Raises UnknownMemberError, ConflictError for one that is no current one of this member or ends already, and the
    errors of Stripe and the database. The audit entry is committed first, as a call may take long.
    """
    row = next((one for one in read_member_billing(ref).current if one.stripe_id == stripe_id), None)
    if row is None:
        raise ConflictError("This account has no such subscription now.")
    if row.cancel_at is not None:
        raise ConflictError(f"This subscription already ends on {row.cancel_at:%Y-%m-%d}.")
    with db.write() as session:
        user_id = session.scalars(select(User.id).where(User.ref == plain(ref))).one()
        audit.record_by(session, "subscription.ended", actor, user_id, subscription=stripe_id)
    end_with_period(stripe_id)
    return row.current_period_end


def count_subscriptions() -> dict[str, int]:
    """Count the subscriptions in each status; the database keeps these counts."""
    with db.read() as session:
        sums = read_sums(session, SumName.SUBSCRIPTIONS)
    counts: Counter[str] = Counter()
    for key, total in sums.items():
        counts[key.partition("/")[0]] += total.count
    return dict(counts)


def count_active_subscriptions() -> list[tuple[str, str, int]]:
    """Count open subscriptions by plan and status, for the scrape."""
    with db.read() as session:
        counts = read_sums(session, SumName.SUBSCRIPTIONS)
    parts = [(*key.partition("/"), total.count) for key, total in counts.items()]
    return [(plan, status, count) for status, _, plan, count in parts if status not in ENDED_STATUSES]


def _subscription_view(row: Subscription, user_ref: str, user_name: str) -> SubscriptionView:
    price = None if row.amount is None else money.format_amount(row.amount, row.currency)
    renewal = None if row.renewal_amount is None else money.format_amount(row.renewal_amount, row.currency)
    return SubscriptionView(
        row.id, row.stripe_id, row.plan, row.status, price, renewal, row.interval, user_ref, user_name, row.started_at,
        row.current_period_start, row.current_period_end, row.cancel_at, row.ended_at, row.past_due_since,
        row.collection_paused, row.collection_method == presenters.BY_HAND,
    )  # fmt: skip


# -- webhook events ---------------------------------------------------------------------------------------------------


class UnknownEventError(NotFoundError):
    """There is no webhook event with this id."""

    def __init__(self, event_id: int) -> None:
        super().__init__(f"There is no webhook event {event_id}.")


class EventFailedError(UnavailableError):
    """A replayed event failed again; its row holds the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The event could not be processed: {reason}.", retry_after=None)


@dataclass(frozen=True)
class EventView:
    """One webhook event; lists leave the ``payload`` out."""

    id: int
    stripe_id: str
    type: str
    object_id: str | None
    state: str
    reason: str | None
    attempts: int
    created_at: datetime
    received_at: datetime
    processed_at: datetime | None
    request_id: str | None
    under_way: bool
    """Whether it is being processed right now."""
    payload: dict[str, Any] | None = None


def list_events(
    *, state: str | None = None, event_type: str | None = None, place: Place = NEWEST
) -> ListPage[EventView]:
    """List webhook events, newest first."""
    query = select(StripeEvent)
    if state is not None:
        query = query.where(StripeEvent.state == state)
    if event_type is not None:
        query = query.where(StripeEvent.type == event_type)
    with db.read() as session:
        found = fetch_page(session, query, StripeEvent.id, StripeEvent.received_at, place)
    return found.convert(lambda row: _event_view(row[0], None))


def count_events() -> dict[str, int]:
    """Count the events in each state; of each at most one more than ``MOST_COUNTED``."""
    counted = [count_up_to(select(StripeEvent.id).where(StripeEvent.state == state.value)) for state in EventState]
    with db.read() as session:
        found = session.execute(select(*counted)).one()
    return {state.value: count for state, count in zip(EventState, found, strict=True) if count}


def find_event(event_id: int) -> EventView | None:
    """Find a webhook event with its payload."""
    with db.read() as session:
        row = session.get(StripeEvent, event_id)
    return None if row is None else _event_view(row, row.payload)


def find_event_id(stripe_id: str) -> int | None:
    """Find the id of the event with this Stripe id."""
    with db.read() as session:
        return session.scalars(select(StripeEvent.id).where(StripeEvent.stripe_id == stripe_id)).one_or_none()


def read_event(event_id: int) -> EventView:
    """Read a webhook event with its payload. Raises UnknownEventError."""
    found = find_event(event_id)
    if found is None:
        raise UnknownEventError(event_id)
    return found


def replay_event(event_id: int, actor: Actor) -> Outcome:
    """Process a webhook event again for an admin. The audit entry is committed first, because a replay may take long.

    Raises UnknownEventError, ConflictError while it is being processed, EventFailedError, and the database's errors.
    """
    found = read_event(event_id)
    if found.under_way:
        raise ConflictError("This event is being processed. Try again in a few seconds.")
    with db.write() as session:
        audit.record_by(session, "webhook.replayed", actor, webhook=event_id, type=found.type)
    outcome = replay(event_id)
    if outcome.http >= 400:
        raise EventFailedError(outcome.reason or outcome.status)
    return outcome


def _event_view(row: StripeEvent, payload: dict[str, Any] | None) -> EventView:
    under_way = row.lease is not None and row.leased_until is not None and utc_now() < row.leased_until
    return EventView(
        row.id, row.stripe_id, row.type, row.object_id, row.state, row.reason, row.attempts, row.created_at,
        row.received_at, row.processed_at, row.request_id, under_way, payload,
    )  # fmt: skip


# -- ledger -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CurrencyTotal:
    """All-time sums of one currency, in minor units; refunds and disputes are negative, ``net`` is the sum of all."""

    currency: str
    payments: int
    refunds: int
    disputes: int
    net: int
    count: int


def list_totals() -> list[CurrencyTotal]:
    """List the all-time totals of each currency; currencies are never added up."""
    with db.read() as session:
        by_currency = sorted(read_ledger_sums(session), key=attrgetter("currency"))
    return [_total(currency, list(sums)) for currency, sums in groupby(by_currency, attrgetter("currency"))]


def _total(currency: str, sums: Sequence[LedgerSum]) -> CurrencyTotal:
    payments, refunds, disputes = sum_kinds(sums)
    net = payments + refunds + disputes
    return CurrencyTotal(currency, payments, refunds, disputes, net, sum(found.count for found in sums))
