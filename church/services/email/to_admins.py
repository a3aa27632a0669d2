"""Emails to every admin."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.models.accounts import Role, User
from church.services.email.queue import queue_email

_ADMINS = (
    select(User)
    .where(
        User.role == Role.ADMIN.value,
        User.verified_at.is_not(None),
        User.disabled_at.is_(None),
        User.deleted_at.is_(None),
        User.email.is_not(None),
    )
    .order_by(User.id)
)


def queue_email_to_admins(session: Session, template: str, **context: Any) -> None:
    """Queue an email to each admin who can sign in, in the caller's write transaction; see ``queue_email``."""
    for admin in session.scalars(_ADMINS).all():
        queue_email(session, template, recipient=admin.email or "", user=admin, **context)
