"""What is for sale, as Stripe last told it. Which of its products are plans: ``billing_catalogue``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class Product(Base):
    """One plan."""

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
    """One price of a plan, in minor units of ``currency``. It may be here before its product is."""

    __tablename__ = "prices"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    stripe_product: Mapped[str] = mapped_column(index=True)
    amount: Mapped[int | None] = mapped_column(BigInteger)
    """None for a price of tiers, which no page shows."""
    currency: Mapped[str]
    interval: Mapped[str | None]
    interval_count: Mapped[int]
    trial_days: Mapped[int]
    tax_behavior: Mapped[str]
    """``inclusive``, ``exclusive`` or ``unspecified``."""
    active: Mapped[bool]
    created_at: Mapped[datetime]
    """At Stripe: of two prices for one interval the newer is shown."""
    fetched_at: Mapped[datetime]
