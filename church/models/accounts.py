"""Accounts, sessions, one-time links, API tokens and the audit log.

A deleted account keeps its emptied row, because payments and audit entries still refer to it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


def _only(name: str, condition: str) -> Index:
    """An index of the accounts with ``condition``, newest last: it lists and finds them among a million others."""
    return Index(name, "id", sqlite_where=text(condition), postgresql_where=text(condition))


class Role(StrEnum):
    """What an account may do beyond reading."""

    MEMBER = "member"
    ADMIN = "admin"


class User(Base):
    """One account. ``ref`` is its public id in addresses, logs and tokens; the number stays in the database.

    ``ref`` is random, and replaced when the account is deleted, so that the one in the logs means nothing any more.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('member', 'admin')", name="role"),
        CheckConstraint("deleted_at IS NULL OR email IS NULL", name="deleted_is_empty"),
        Index("ix_users_created_at_deleted_at", "created_at", "deleted_at"),
        _only("ix_users_kept", "deleted_at IS NULL"),
        _only("ix_users_deleted", "deleted_at IS NOT NULL"),
        _only("ix_users_disabled", "deleted_at IS NULL AND disabled_at IS NOT NULL"),
        _only("ix_users_active", "deleted_at IS NULL AND disabled_at IS NULL AND verified_at IS NOT NULL"),
        _only("ix_users_unverified", "deleted_at IS NULL AND disabled_at IS NULL AND verified_at IS NULL"),
        _only("ix_users_admins", "role = 'admin'"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None] = mapped_column(PlainText)
    email_key: Mapped[str | None] = mapped_column(unique=True)
    """The address in the form in which it is compared: one account, however it is typed."""
    name: Mapped[str] = mapped_column(PlainText)
    role: Mapped[str] = mapped_column(default=Role.MEMBER.value)
    password_hash: Mapped[str | None]
    password_changed_at: Mapped[datetime | None]
    source: Mapped[str]
    """How the account was created: ``web``, ``cli`` or ``first_admin``."""
    created_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    @property
    def active(self) -> bool:
        """Whether its owner may sign in: it is neither disabled nor deleted."""
        return self.disabled_at is None and self.deleted_at is None


class SignIn(Base):
    """One signed-in device of one member. Signing out deletes the row; ``ref`` is its public id."""

    __tablename__ = "sign_ins"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(index=True)
    last_seen_at: Mapped[datetime] = mapped_column(index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    """When it ends however often it is used; the idle timeout counts from ``last_seen_at``."""
    user_agent: Mapped[str] = mapped_column(PlainText)
    address: Mapped[str]


class Purpose(StrEnum):
    """What a link does when it is used."""

    VERIFY = "verify"
    RESET = "reset"
    CHANGE_EMAIL = "change_email"
    FIRST_ADMIN = "first_admin"


class Link(Base):
    """One one-time link, valid until ``expires_at``."""

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


class ApiToken(Base):
    """One API token of a machine. Its secret is shown once, at creation, and not stored."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    """The public part of the token."""
    name: Mapped[str] = mapped_column(PlainText)
    """What it is used for, as typed by the operator."""
    scopes: Mapped[str]
    """Its scopes, separated by spaces."""
    digest: Mapped[str]
    """SHA-256 of the secret, which is random enough to need no salt."""
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class AuditEntry(Base):
    """One action. Without an actor it came from the command line or the site itself (``via``)."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_action_id", "action", "id"),
        Index("ix_audit_entries_subject_id_id", "subject_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    action: Mapped[str]
    """``domain.action``, such as ``member.disabled``."""
    via: Mapped[str]
    """``web``, ``cli`` or ``site``."""
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    subject_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))
    """Names of fields, roles and counts; no secrets and no email addresses."""
    address: Mapped[str | None]
    request_id: Mapped[str | None] = mapped_column(index=True)
