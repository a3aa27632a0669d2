"""Bearer tokens of machines: what they may do, and what their secret hashes to."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class ApiToken(Base):
    """One token. The secret itself is shown once, when it is made, and kept nowhere."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    """Names the token; the part of it that is no secret."""
    name: Mapped[str] = mapped_column(PlainText)
    """What it is for, in an operator's words."""
    scopes: Mapped[str]
    """What it opens, by spaces."""
    digest: Mapped[str]
    """SHA-256 of the secret, which is random enough to need no salt."""
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
