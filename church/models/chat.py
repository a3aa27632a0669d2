"""Chat rooms, messages, sanctions and reports.

A room counts its changes. A message's ``number`` is the count when it was posted, its ``changed`` the count when it was
last changed. Both are assigned under a lock of the room's row, so every reader sees the same order, and asking for
changes after N misses nothing.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText

_NOT_LIFTED = text("lifted_at IS NULL")
_OPEN, _SETTLED = text("settled_at IS NULL"), text("settled_at IS NOT NULL")


class RoomAccess(StrEnum):
    """Who may enter a room."""

    MEMBERS = "members"
    PREMIUM = "premium"
    ADMINS = "admins"


class SanctionKind(StrEnum):
    """A muted member can read but not post; a banned one can't enter."""

    MUTE = "mute"
    BAN = "ban"


class ChatRoom(Base):
    """One room; ``last_number`` counts its changes. A migration creates the rooms."""

    __tablename__ = "chat_rooms"
    __table_args__ = (CheckConstraint("access IN ('members', 'premium', 'admins')", name="access"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str] = mapped_column(PlainText)
    access: Mapped[str]
    last_number: Mapped[int] = mapped_column(BigInteger, default=0)


class ChatMessage(Base):
    """One message. A deleted one keeps its row without text, so that clients that were offline learn of it."""

    __tablename__ = "chat_messages"
    __table_args__ = (
        UniqueConstraint("room_id", "number"),
        UniqueConstraint("room_id", "user_id", "client_id"),
        UniqueConstraint("room_id", "changed"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    room_id: Mapped[int] = mapped_column(ForeignKey("chat_rooms.id"))
    number: Mapped[int] = mapped_column(BigInteger)
    changed: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    text: Mapped[str] = mapped_column(PlainText)
    client_id: Mapped[str | None]
    """An id from the author's client: sent twice, it is still one message."""
    created_at: Mapped[datetime] = mapped_column(index=True)
    edited_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    deleted_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class ChatSanction(Base):
    """One member's mute or ban in a room, or in all rooms if ``room_id`` is None."""

    __tablename__ = "chat_sanctions"
    __table_args__ = (
        CheckConstraint("kind IN ('mute', 'ban')", name="kind"),
        Index("ix_chat_sanctions_not_lifted", "id", sqlite_where=_NOT_LIFTED, postgresql_where=_NOT_LIFTED),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    kind: Mapped[str]
    room_id: Mapped[int | None] = mapped_column(ForeignKey("chat_rooms.id"))
    until: Mapped[datetime | None]
    """None lasts until it is lifted."""
    reason: Mapped[str] = mapped_column(PlainText)
    given_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]


class ChatReport(Base):
    """One member's report of a message. ``text`` is the message at that time; it may have changed since."""

    __tablename__ = "chat_reports"
    __table_args__ = (
        UniqueConstraint("message_id", "user_id"),
        Index("ix_chat_reports_open", "id", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_chat_reports_settled", "id", sqlite_where=_SETTLED, postgresql_where=_SETTLED),
        Index("ix_chat_reports_emailed_at", "emailed_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("chat_messages.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    text: Mapped[str] = mapped_column(PlainText)
    reason: Mapped[str] = mapped_column(PlainText)
    created_at: Mapped[datetime]
    emailed_at: Mapped[datetime | None]
    """When the admins were told by email."""
    settled_at: Mapped[datetime | None]
    settled_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
