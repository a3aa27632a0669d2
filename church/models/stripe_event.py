"""Stripe's webhook events: each stored once, worked by whoever holds its lease, kept with what came of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class EventState(StrEnum):
    """Where an event stands; ``failed`` waits for Stripe to send it again or an admin to replay it."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    FAILED = "failed"


class StripeEvent(Base):
    """One event, by Stripe's id. ``lease`` is the token of the one delivery that may finish it."""

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
    """Why it was ignored, or what its last attempt failed with."""
    attempts: Mapped[int] = mapped_column(default=0)
    lease: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    """When Stripe made it."""
    received_at: Mapped[datetime] = mapped_column(index=True)
    processed_at: Mapped[datetime | None]
    request_id: Mapped[str | None]
