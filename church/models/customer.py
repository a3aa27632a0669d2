"""Members as Stripe knows them. Its rows are what a webhook locks, so that two of one customer take turns."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class Customer(Base):
    """One customer at Stripe. A member may have had several; the one in use is the newest that is not deleted."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    delinquent: Mapped[bool] = mapped_column(default=False)
    card_brand: Mapped[str | None] = mapped_column(PlainText)
    card_last4: Mapped[str | None] = mapped_column(PlainText)
    card_expires: Mapped[str | None] = mapped_column(PlainText)
    """``05/2029``, of the card that renewals are paid with."""
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    fetched_at: Mapped[datetime | None]
    """When the fetch that this row was filled from started; None before the first."""
