"""Mails on their way: what to write to whom. The text is made when it is sent, so that no link is stored."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class MailState(StrEnum):
    """Where a mail stands; ``failed`` is out of attempts and waits for an admin."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class Mail(Base):
    """One mail to one address; ``template`` names its words, ``context`` holds nothing secret."""

    __tablename__ = "mails"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'sent', 'failed')", name="state"),
        Index("ix_mails_state_created_at", "state", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    template: Mapped[str]
    recipient: Mapped[str] = mapped_column(PlainText)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    link_id: Mapped[int | None] = mapped_column(ForeignKey("links.id", ondelete="SET NULL"))
    context: Mapped[dict[str, Any]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))
    state: Mapped[str] = mapped_column(default=MailState.PENDING.value)
    attempts: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str | None] = mapped_column(PlainText)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
