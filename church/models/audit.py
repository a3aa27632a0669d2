"""The audit log: who did what to which account, written in the transaction that does it. Rows are never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId


class AuditEntry(Base):
    """One action; without an actor it was the command line or the site itself, as ``via`` says."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_action_at", "action", "at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    action: Mapped[str]
    """``domain.action``, such as ``member.disabled``."""
    via: Mapped[str]
    """``web``, ``cli`` or ``site``."""
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    subject_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))
    """Nothing secret and no address: names of fields, roles, counts."""
    address: Mapped[str | None]
    request_id: Mapped[str | None]
