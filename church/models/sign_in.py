"""Signed-in devices: one row from login to logout. The cookie holds a token of which only a hash is kept here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class SignIn(Base):
    """One device of one member. Ending it deletes the row; ``ref`` names it to its owner and in tokens."""

    __tablename__ = "sign_ins"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime] = mapped_column(index=True)
    expires_at: Mapped[datetime]
    """The end however often it is used; the idle timeout is counted from ``last_seen_at``."""
    user_agent: Mapped[str] = mapped_column(PlainText)
    address: Mapped[str]
