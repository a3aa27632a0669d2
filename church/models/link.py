"""One-time links: verify an address, reset a password, change an address, become the first admin.

What a link's address holds is made from the row and the site's secret (``church.services.email_links``), so that
neither the database nor a backup of it opens an account.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class Purpose(StrEnum):
    """What a link does when it is used."""

    VERIFY = "verify"
    RESET = "reset"
    CHANGE_EMAIL = "change_email"
    FIRST_ADMIN = "first_admin"


class Link(Base):
    """One link; used once, until ``expires_at``."""

    __tablename__ = "links"
    __table_args__ = (CheckConstraint("purpose IN ('verify', 'reset', 'change_email', 'first_admin')", name="purpose"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    nonce: Mapped[str]
    purpose: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    email: Mapped[str | None] = mapped_column(PlainText)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
