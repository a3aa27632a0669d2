"""Errors, grouped: what admins know and have decided about each. The occurrences are in the telemetry store."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, PlainText


class ErrorState(StrEnum):
    """What admins have decided: a resolved error opens again with its next occurrence, an ignored one never does."""

    OPEN = "open"
    RESOLVED = "resolved"
    IGNORED = "ignored"


class ErrorGroup(Base):
    """Errors of one class from one place in our code."""

    __tablename__ = "error_groups"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'resolved', 'ignored')", name="state"),
        Index("ix_error_groups_last_seen", "last_seen"),
    )

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    """16 hexadecimal digits, the same on every host and in every release."""
    error_type: Mapped[str]
    place: Mapped[str] = mapped_column(PlainText)
    """The function that raised it: ``church/services/x.py:function``."""
    message: Mapped[str] = mapped_column(PlainText)
    """Of the last occurrence, without secrets."""
    state: Mapped[str] = mapped_column(default=ErrorState.OPEN.value)
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
    first_version: Mapped[str]
    """The release that brought it."""
    last_version: Mapped[str]
    resolved_at: Mapped[datetime | None]
    came_back_at: Mapped[datetime | None]
    """When it last occurred although it was resolved."""
    emailed_at: Mapped[datetime | None]
    """When admins got the email about it; None while one is due."""
