"""Networks whose requests the site refuses."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class BlockedNetwork(Base):
    """An address or network that is blocked until a time. Blocking it again changes its row; the audit log has each."""

    __tablename__ = "blocked_networks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    network: Mapped[str] = mapped_column(unique=True)
    """In canonical form, such as 203.0.113.7/32 or 2001:db8::/48."""
    until: Mapped[datetime]
    reason: Mapped[str] = mapped_column(PlainText)
    blocked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    """None for the command line."""
    created_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(BigInteger, unique=True)
    """Rises with each change of any row: hosts compare the highest one with theirs."""
