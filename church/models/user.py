"""People: one row an account. A deleted account keeps its row, emptied: money and audit rows still point at it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class Role(StrEnum):
    """What somebody may do beyond reading."""

    MEMBER = "member"
    ADMIN = "admin"


class User(Base):
    """One account. ``ref`` is its name outside the database: in addresses, logs and tokens, never the number."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('member', 'admin')", name="role"),
        CheckConstraint("deleted_at IS NULL OR email IS NULL", name="deleted_is_empty"),
        Index("ix_users_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None] = mapped_column(PlainText)
    email_key: Mapped[str | None] = mapped_column(unique=True)
    """The address as it is compared: one account however it is typed."""
    name: Mapped[str] = mapped_column(PlainText)
    role: Mapped[str] = mapped_column(default=Role.MEMBER.value)
    password_hash: Mapped[str | None]
    password_changed_at: Mapped[datetime | None]
    source: Mapped[str]
    """How the account came to be: ``web``, ``cli`` or ``first_admin``."""
    created_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    @property
    def active(self) -> bool:
        """Whether somebody may sign in to it."""
        return self.disabled_at is None and self.deleted_at is None
