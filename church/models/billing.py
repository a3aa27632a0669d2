"""Stripe's objects as rows (customers, subscriptions, invoices, plans, events), the ledger, checkouts and grants.

A webhook locks its customer's row, so that two webhooks of one customer run one after the other.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class SubscriptionStatus(StrEnum):
    """Stripe's words for the state of a subscription (https://docs.stripe.com/api/subscriptions/object)."""

    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    INCOMPLETE = "incomplete"
    PAUSED = "paused"
    CANCELED = "canceled"
    INCOMPLETE_EXPIRED = "incomplete_expired"


PAID_STATUSES = frozenset({"trialing", "active"})
"""Premium without a look at dates."""
UNPAID_STATUSES = frozenset({"past_due", "unpaid"})
"""An invoice is open: the member is asked to pay it."""
ENDED_STATUSES = frozenset({"canceled", "incomplete_expired"})
"""Never changes again."""
OPEN_STATUSES = tuple(status.value for status in SubscriptionStatus if status not in ENDED_STATUSES)
CURRENT_STATUSES = frozenset(OPEN_STATUSES) - {"incomplete"}
"""The member has this subscription: billing pages show it, and a second one is refused."""
_NOT_CURRENT = sorted({status.value for status in SubscriptionStatus} - CURRENT_STATUSES)
CURRENT_ONLY = text(f"status NOT IN ({', '.join(map(repr, _NOT_CURRENT))})")
# As text and not as parameters, which SQLite can't match with the partial index. NOT keeps it from the index on status.
YEARLY_ONLY = text("(\"interval\" = 'year' OR \"interval\" = 'month' AND interval_count >= 12)")
"""Renews once a year or more rarely."""


class Customer(Base):
    """One customer at Stripe. A member may have had several; the one in use is the newest that is not deleted."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    card_brand: Mapped[str | None] = mapped_column(PlainText)
    card_last4: Mapped[str | None] = mapped_column(PlainText)
    card_expires: Mapped[str | None] = mapped_column(PlainText)
    """``05/2029``: expiry of the card that pays renewals."""
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    fetched_at: Mapped[datetime | None]
    """When the fetch behind this row started; None before the first."""


class Subscription(Base):
    """One subscription. Amounts are minor units of ``currency``; columns ``stripe_…`` are Stripe's ids."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("ix_subscriptions_status_plan", "status", "plan"),
        Index("ix_subscriptions_status_id", "status", "id"),
        Index(
            "ix_subscriptions_current", "user_id", "status", sqlite_where=CURRENT_ONLY, postgresql_where=CURRENT_ONLY
        ),
        Index("ix_subscriptions_current_period_end", "current_period_end"),
        Index(
            "ix_subscriptions_yearly",
            "current_period_end",
            "id",
            sqlite_where=YEARLY_ONLY,
            postgresql_where=YEARLY_ONLY,
        ),
        Index("ix_subscriptions_renewal_asked_at", "renewal_asked_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    status: Mapped[str]
    """Stripe's status: trialing, active, past_due, canceled, unpaid, incomplete, incomplete_expired, paused."""
    plan: Mapped[str]
    """The product's ``church_plan``; the plan's name in metrics."""
    stripe_item: Mapped[str | None]
    """The item of the plan, whose price, product and quantity follow; a subscription may have others, as an add-on."""
    stripe_price: Mapped[str | None]
    stripe_product: Mapped[str | None]
    quantity: Mapped[int]
    plan_amount: Mapped[int | None] = mapped_column(BigInteger)
    """The plan's part of ``amount``."""
    amount: Mapped[int | None] = mapped_column(BigInteger)
    """The price of one period, of all items, before discounts and tax."""
    renewal_amount: Mapped[int | None] = mapped_column(BigInteger)
    """What the next invoice takes, as Stripe previews it; reckoned where Stripe can't say; None where it is unknown."""
    renewal_at: Mapped[datetime | None]
    """When that invoice is made: of items with different periods, the first that ends."""
    renewal_asked_at: Mapped[datetime | None]
    """When the amount was worked out; None where it is to be asked again."""
    renewal_basis: Mapped[str | None]
    """A digest of what the amount depends on: while it is the same, the amount stays right."""
    currency: Mapped[str]
    interval: Mapped[str | None]
    interval_count: Mapped[int]
    started_at: Mapped[datetime]
    trial_end: Mapped[datetime | None]
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    """When it will end, from either of Stripe's two fields for that."""
    ended_at: Mapped[datetime | None]
    past_due_since: Mapped[datetime | None]
    collection_paused: Mapped[bool] = mapped_column(default=False)
    """Nothing is charged until ``resumes_at``; the status and premium stay."""
    resumes_at: Mapped[datetime | None]
    """None for a pause without an end."""
    collection_method: Mapped[str] = mapped_column(default="charge_automatically")
    """``charge_automatically``, or ``send_invoice`` for a payer who pays invoices by hand."""
    stripe_schedule: Mapped[str | None]
    next_price: Mapped[str | None]
    """The price that a schedule changes to at ``next_price_at``."""
    next_price_at: Mapped[datetime | None]
    latest_invoice: Mapped[str | None]
    created_at: Mapped[datetime]
    fetched_at: Mapped[datetime]
    """When the fetch behind this row started; only a fetch that started later may replace the row."""


class Invoice(Base):
    """One invoice of a subscription; amounts are minor units of ``currency``."""

    __tablename__ = "invoices"
    __table_args__ = (Index("ix_invoices_user_id_created_at", "user_id", "created_at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    stripe_subscription: Mapped[str | None] = mapped_column(index=True)
    number: Mapped[str | None] = mapped_column(PlainText)
    status: Mapped[str]
    """Stripe's status: draft, open, paid, uncollectible, void."""
    currency: Mapped[str]
    total: Mapped[int] = mapped_column(BigInteger)
    amount_paid: Mapped[int] = mapped_column(BigInteger)
    amount_remaining: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(default=0)
    problem: Mapped[str | None] = mapped_column(PlainText)
    """Why it can't be paid or finalised now: ``payment_failed``, ``action_required`` or Stripe's code."""
    hosted_url: Mapped[str | None] = mapped_column(PlainText)
    pdf_url: Mapped[str | None] = mapped_column(PlainText)
    created_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    """When an invoice that is paid by hand is due; None where the card is charged."""
    fetched_at: Mapped[datetime]


class EntryKind(StrEnum):
    """Why money moved. Refunds and disputes are negative, their reversals positive."""

    PAYMENT = "payment"
    REFUND = "refund"
    REFUND_FAILED = "refund_failed"
    DISPUTE = "dispute"
    DISPUTE_REVERSAL = "dispute_reversal"


class LedgerEntry(Base):
    """One movement of money. ``source_id`` is its cause at Stripe, so that nothing is booked twice."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint("kind IN ('payment', 'refund', 'refund_failed', 'dispute', 'dispute_reversal')", name="kind"),
        CheckConstraint("(amount > 0) = (kind IN ('payment', 'refund_failed', 'dispute_reversal'))", name="sign"),
        CheckConstraint("amount <> 0", name="something"),
        Index("ix_ledger_entries_currency_id", "currency", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    source_id: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    stripe_customer: Mapped[str]
    stripe_invoice: Mapped[str | None] = mapped_column(index=True)
    stripe_payment: Mapped[str | None] = mapped_column(index=True)
    """The payment intent, or the charge where there is none."""
    occurred_at: Mapped[datetime] = mapped_column(index=True)
    """When the money moved, according to Stripe."""


OPEN_ONLY = text("state = 'open'")


class CheckoutState(StrEnum):
    """State of a checkout; ``pending`` was completed and waits for a slow payment such as a bank debit."""

    OPEN = "open"
    PENDING = "pending"
    COMPLETED = "completed"
    EXPIRED = "expired"
    FAILED = "failed"


class Checkout(Base):
    """One checkout. ``ref`` is part of its idempotency key and of the success page's address."""

    __tablename__ = "checkouts"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'pending', 'completed', 'expired', 'failed')", name="state"),
        Index("uq_checkouts_open_user_id", "user_id", unique=True, sqlite_where=OPEN_ONLY, postgresql_where=OPEN_ONLY),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    stripe_price: Mapped[str]
    stripe_session: Mapped[str | None] = mapped_column(unique=True)
    """None until Stripe has created the session."""
    url: Mapped[str | None] = mapped_column(PlainText)
    state: Mapped[str] = mapped_column(default=CheckoutState.OPEN.value)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


_REVOKED = text("revoked_at IS NOT NULL")


class Grant(Base):
    """Free premium for one member until a date, unless revoked."""

    __tablename__ = "grants"
    __table_args__ = (Index("ix_grants_revoked", "id", sqlite_where=_REVOKED, postgresql_where=_REVOKED),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    granted_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    """None if the command line granted it."""
    reason: Mapped[str] = mapped_column(PlainText)
    created_at: Mapped[datetime]
    until: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class UnmatchedPayment(Base):
    """One subscription to a plan whose payer is no member, such as one by a payment link.

    It is removed when a member is found, and some time after it has ended.
    """

    __tablename__ = "unmatched_payments"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_subscription: Mapped[str] = mapped_column(unique=True)
    stripe_customer: Mapped[str] = mapped_column(index=True)
    email: Mapped[str | None] = mapped_column(PlainText)
    email_key: Mapped[str | None] = mapped_column(index=True)
    """The address as accounts compare it: the account that confirms it gets the subscription."""
    plan: Mapped[str]
    status: Mapped[str]
    """Stripe's status of the subscription."""
    amount: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str]
    interval: Mapped[str | None]
    started_at: Mapped[datetime]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(index=True)
    dismissed_at: Mapped[datetime | None]
    """When an admin said that it belongs to no member."""


class Notice(Base):
    """An email about a membership that was queued, so that no event sends it twice. ``key`` names the occasion."""

    __tablename__ = "notices"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(index=True)


class Product(Base):
    """One plan, a product at Stripe."""

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    plan: Mapped[str] = mapped_column(index=True)
    """Its short name in metrics and addresses, from ``church_plan`` or its name."""
    name: Mapped[str] = mapped_column(PlainText)
    description: Mapped[str] = mapped_column(PlainText)
    features: Mapped[list[Any]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))
    position: Mapped[int] = mapped_column(default=0)
    """Its place on the pricing page, from ``church_order``; then by price."""
    active: Mapped[bool]
    fetched_at: Mapped[datetime]


class Price(Base):
    """One price of a plan, in minor units of ``currency``. It may be stored before its product."""

    __tablename__ = "prices"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    stripe_product: Mapped[str] = mapped_column(index=True)
    amount: Mapped[int | None] = mapped_column(BigInteger)
    """None for a tiered price, which is not shown."""
    currency: Mapped[str]
    currency_amounts: Mapped[dict[str, Any]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"), default=dict)
    """The amount in each further currency of a price in several: ``{"eur": 1100}``."""
    interval: Mapped[str | None]
    interval_count: Mapped[int]
    trial_days: Mapped[int]
    tax_behavior: Mapped[str]
    """``inclusive``, ``exclusive`` or ``unspecified``."""
    active: Mapped[bool]
    created_at: Mapped[datetime]
    """Created at Stripe. Of two prices for one interval, the newer is shown."""
    fetched_at: Mapped[datetime]


class EventState(StrEnum):
    """State of an event; ``failed`` waits until Stripe sends it again or an admin replays it."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    FAILED = "failed"


class StripeEvent(Base):
    """One webhook event from Stripe. ``lease`` is the token of the delivery that may finish it."""

    __tablename__ = "stripe_events"
    __table_args__ = (
        CheckConstraint("state IN ('received', 'processed', 'ignored', 'failed')", name="state"),
        Index("ix_stripe_events_state_received_at", "state", "received_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    object_id: Mapped[str | None] = mapped_column(index=True)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))
    state: Mapped[str] = mapped_column(default=EventState.RECEIVED.value)
    reason: Mapped[str | None] = mapped_column(PlainText)
    """Why it was ignored, or why its last attempt failed."""
    attempts: Mapped[int] = mapped_column(default=0)
    lease: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    """When Stripe created it."""
    received_at: Mapped[datetime] = mapped_column(index=True)
    processed_at: Mapped[datetime | None]
    request_id: Mapped[str | None] = mapped_column(index=True)
