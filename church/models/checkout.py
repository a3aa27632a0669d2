"""Checkouts that were started here: one open at a time for each member."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText

OPEN_ONLY = text("state = 'open'")


class CheckoutState(StrEnum):
    """Where a checkout stands; ``pending`` was filled in and waits for a slow payment, such as a bank debit."""

    OPEN = "open"
    PENDING = "pending"
    COMPLETED = "completed"
    EXPIRED = "expired"
    FAILED = "failed"


class Checkout(Base):
    """One checkout. ``ref`` is part of its idempotency key and stands in the address of the success page."""

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
    """None until Stripe has made the session."""
    url: Mapped[str | None] = mapped_column(PlainText)
    stripe_subscription: Mapped[str | None]
    state: Mapped[str] = mapped_column(default=CheckoutState.OPEN.value)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
