"""Subscriptions as Stripe last told them: what every request is answered from."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId


class Subscription(Base):
    """One subscription. Amounts are minor units of ``currency``; what is named ``stripe_…`` is Stripe's id."""

    __tablename__ = "subscriptions"
    __table_args__ = (Index("ix_subscriptions_status_plan", "status", "plan"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    status: Mapped[str]
    """Stripe's word: trialing, active, past_due, canceled, unpaid, incomplete, incomplete_expired, paused."""
    plan: Mapped[str]
    """The product's ``church_plan``; what metrics call it."""
    stripe_item: Mapped[str | None]
    stripe_price: Mapped[str | None]
    stripe_product: Mapped[str | None]
    quantity: Mapped[int]
    amount: Mapped[int | None] = mapped_column(BigInteger)
    """The price of one period, before discounts and tax."""
    renewal_amount: Mapped[int | None] = mapped_column(BigInteger)
    """What the next period costs by what is known now: discounts that go on taken off, tax left out."""
    currency: Mapped[str]
    interval: Mapped[str | None]
    interval_count: Mapped[int]
    started_at: Mapped[datetime]
    trial_end: Mapped[datetime | None]
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    """When it is to end, by whichever of Stripe's two ways of saying so."""
    canceled_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    past_due_since: Mapped[datetime | None]
    collection_paused: Mapped[bool] = mapped_column(default=False)
    stripe_schedule: Mapped[str | None]
    next_price: Mapped[str | None]
    """The price that a schedule changes to at ``next_price_at``."""
    next_price_at: Mapped[datetime | None]
    latest_invoice: Mapped[str | None]
    created_at: Mapped[datetime]
    fetched_at: Mapped[datetime]
    """When the fetch that this row was filled from started: only one that started later may replace it."""
